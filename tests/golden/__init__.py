"""The golden file of plans: every model of the catalogue on every known machine, beside KAITO's node counts."""

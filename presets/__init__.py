"""Facts on models and machine sizes: data only."""

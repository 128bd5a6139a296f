"""What every service runs on: settings, the bus and its topology, Kubernetes, telemetry, health, shutdown."""

"""On a real nats-server."""

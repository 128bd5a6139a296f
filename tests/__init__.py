"""Tests, by what they need: nothing, a nats-server, an API server, an engine."""

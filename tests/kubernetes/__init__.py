"""Against a real Kubernetes API server."""

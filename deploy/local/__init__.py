"""Everything on one machine: control plane, NATS, services, node agents."""

"""A small Azure on 127.0.0.1: Resource Manager with AKS agent pools, sizes and quota, a token endpoint, TLS."""

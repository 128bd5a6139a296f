"""`azure`: machines of an AKS cluster. Each is an agent pool of one node."""

from services.provisioner.providers.azure.provider import AzureProvider, make

__all__ = ["AzureProvider", "make"]

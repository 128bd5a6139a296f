"""`local`: this machine. Its "machines" are node agents, each a process that offers a part of the memory."""

from services.provisioner.providers.local.provider import LocalProvider, make

__all__ = ["LocalProvider", "make"]

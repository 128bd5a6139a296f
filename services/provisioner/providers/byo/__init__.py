"""`byo`: nodes that exist already. They are claimed and given back, and neither made nor deleted."""

from services.provisioner.providers.byo.provider import ByoProvider, make

__all__ = ["ByoProvider", "make"]

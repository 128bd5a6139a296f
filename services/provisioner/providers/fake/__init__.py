"""`fake`: machines that are only acted, on real Node objects. For tests, rehearsals, and manifests without a cloud."""

from services.provisioner.providers.fake.provider import FakeProvider, make

__all__ = ["FakeProvider", "make"]

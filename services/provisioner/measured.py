"""A provider whose calls are counted and timed."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, Counter, Histogram

from services.contracts.errors import ProviderError
from services.contracts.offers import Offer
from services.provisioner.provider import Instance, InstanceSpec, Key, Provider


class Measured:
    """Another provider, with metrics: calls by verb and by how they ended, and the seconds they took."""

    def __init__(self, inner: Provider, registry: CollectorRegistry) -> None:
        self._inner = inner
        self.name = inner.name
        self.simulated = inner.simulated
        self.owns_nodes = inner.owns_nodes
        self._calls = Counter("kaitobus_provider_calls", "Calls to the cloud.", ["verb", "result"], registry=registry)
        self._seconds = Histogram(
            "kaitobus_provider_call_seconds", "Time that a call to the cloud took.", ["verb"], registry=registry
        )

    async def offers(self) -> tuple[Offer, ...]:
        """As the other's."""
        with self._measure("offers"):
            return await self._inner.offers()

    async def list(self, workspace: Key | None = None) -> tuple[Instance, ...]:
        """As the other's."""
        with self._measure("list"):
            return await self._inner.list(workspace)

    async def create(self, spec: InstanceSpec) -> Instance:
        """As the other's."""
        with self._measure("create"):
            return await self._inner.create(spec)

    async def delete(self, instance: Instance) -> None:
        """As the other's."""
        with self._measure("delete"):
            await self._inner.delete(instance)

    @contextmanager
    def _measure(self, verb: str) -> Iterator[None]:
        began = time.perf_counter()
        result = "error"
        try:
            yield
            result = "ok"
        except ProviderError as error:
            result = error.code
            raise
        finally:
            self._calls.labels(verb, result).inc()
            self._seconds.labels(verb).observe(time.perf_counter() - began)

"""The fake cloud: every call is answered at once, from the Node objects in the API server."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

from services.chassis.kube import (
    LEASES,
    NODES,
    PODS,
    Conflict,
    Forbidden,
    Invalid,
    JsonObject,
    KubeClient,
    KubeError,
    ObjectRef,
    dig_str,
)
from services.contracts.errors import FailureCode, ProviderError
from services.contracts.offers import Offer
from services.provisioner.nodes import Nodes
from services.provisioner.provider import Instance, InstanceSpec, Key
from services.provisioner.providers.fake.keeper import LEASE_NAMESPACE, Keeper
from services.provisioner.providers.fake.node import instance_of, is_machine, new_node
from services.provisioner.providers.fake.pods import PodWalker
from services.provisioner.providers.fake.settings import FakeSettings, Script
from services.provisioner.registry import Context
from services.provisioner.skus import load_skus


class FakeProvider:
    """Offers every size of the known clouds. Its machines boot, and its pods run, as acted by the clock."""

    name = "fake"
    simulated = True
    owns_nodes = True

    def __init__(self, kube: KubeClient, nodes: Nodes, settings: FakeSettings) -> None:
        self._kube = kube
        self._nodes = nodes
        self._skus = load_skus()
        self._offers = tuple(sku.offer() for sku in self._skus.values())
        self._script = Script(settings)
        self._keeper = Keeper(kube, nodes, self._skus, settings)
        self._walker = PodWalker(kube, nodes, settings)

    async def offers(self) -> tuple[Offer, ...]:
        """All sizes."""
        return self._offers

    async def list(self, workspace: Key | None = None) -> tuple[Instance, ...]:
        """The machines, from the nodes as the watch and this process's own writes tell them."""
        nodes = self._nodes.all() if workspace is None else self._nodes.of(workspace)
        now = datetime.now(UTC)
        return tuple(instance_of(node, now) for node in nodes if is_machine(node))

    async def create(self, spec: InstanceSpec) -> Instance:
        """Make the Node, unless the demand's script says that the cloud refuses."""
        if spec.instance_type.lower() not in self._skus:
            raise ProviderError(FailureCode.INVALID_REQUEST, f"there is no machine size {spec.instance_type!r}")
        self._script.play(spec.name, spec.parameters)
        now = datetime.now(UTC)
        booted_at = now + timedelta(seconds=self._script.boot_seconds(spec.parameters))
        node = await self._made(spec, new_node(spec, now, booted_at))
        self._nodes.remember(node)
        return instance_of(node, now)

    async def _made(self, spec: InstanceSpec, node: JsonObject) -> JsonObject:
        try:
            return await self._kube.create(NODES, node)
        except Conflict:
            found = await self._found(spec.name)
            if found is None or not is_machine(found):
                text = f"a node named {spec.name} is there, and it is none of the fake cloud's"
                raise ProviderError(FailureCode.INTERNAL, text) from None
            return found
        except KubeError as error:
            raise _refusal(error) from error

    async def _found(self, name: str) -> JsonObject | None:
        try:
            return await self._kube.get(ObjectRef(NODES, name))
        except KubeError as error:
            raise _refusal(error) from error

    async def delete(self, instance: Instance) -> None:
        """Delete the pods, which nothing else would end, then the lease, then the Node that is the record."""
        try:
            pods = await self._kube.list(PODS, fields=f"spec.nodeName={instance.name}")
            refs = [ObjectRef.of(PODS, pod) for pod in pods.items if dig_str(pod, "spec", "nodeName")]
            await asyncio.gather(*(self._kube.delete(ref, grace_seconds=0) for ref in refs))
            await self._kube.delete(ObjectRef(LEASES, instance.name, LEASE_NAMESPACE))
            await self._nodes.remove(instance.name)
        except KubeError as error:
            raise _refusal(error) from error

    async def run(self) -> None:
        """Act the machines and the pods."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._keeper.run())
            group.create_task(self._walker.run())

    async def problem(self) -> str | None:
        """Whether pods are followed."""
        return None if self._walker.is_fresh() else "the watch of pods is not fresh"


def _refusal(error: KubeError) -> ProviderError:
    """What the API server says, as the fake cloud's own answer."""
    code = FailureCode.INTERNAL
    if isinstance(error, Invalid):
        code = FailureCode.INVALID_REQUEST
    elif isinstance(error, Forbidden):
        code = FailureCode.UNAUTHORIZED
    elif error.status == 429:
        code = FailureCode.THROTTLED
    return ProviderError(code, error.message, retry_after=error.retry_after)


async def make(context: Context) -> FakeProvider:
    """For the registry."""
    return FakeProvider(context.kube, context.nodes, FakeSettings())

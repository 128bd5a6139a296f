"""The fake cloud: every call is answered at once, from the Node objects in the API server."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
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
from services.chassis.settings import from_environment
from services.contracts.errors import FailureCode, ProviderError
from services.contracts.offers import Offer
from services.provisioner.nodes import Nodes
from services.provisioner.provider import Instance, InstanceSpec, Key
from services.provisioner.providers.fake.faults import Faults
from services.provisioner.providers.fake.keeper import LEASE_NAMESPACE, Keeper
from services.provisioner.providers.fake.node import instance_of, is_machine, new_node
from services.provisioner.providers.fake.pods import PodWalker
from services.provisioner.providers.fake.script import Script
from services.provisioner.providers.fake.settings import FakeSettings
from services.provisioner.registry import Context
from services.provisioner.skus import load_skus


class FakeProvider:
    """Offers every size of the known clouds. Its machines boot, and its pods run, as acted by the clock."""

    simulated = True
    owns_nodes = True

    def __init__(self, kube: KubeClient, nodes: Nodes, settings: FakeSettings, name: str = "fake") -> None:
        self.name = name
        self._settings = settings
        self._kube = kube
        self._nodes = nodes
        self._skus = load_skus()
        self._offers = tuple(sku.offer() for sku in self._skus.values())
        self._faults = Faults(kube, nodes, settings)
        self._keeper = Keeper(kube, nodes, self._skus, settings)
        self._walker = PodWalker(kube, nodes, settings, machines=f"{name}-")

    async def offers(self) -> tuple[Offer, ...]:
        """All sizes."""
        return self._offers

    async def list(self, workspace: Key | None = None) -> tuple[Instance, ...]:
        """The machines, from the nodes as the watch and this process's own writes tell them."""
        nodes = self._nodes.all() if workspace is None else self._nodes.of(workspace)
        now = datetime.now(UTC)
        return tuple(instance_of(node, now) for node in nodes if is_machine(node))

    async def create(self, spec: InstanceSpec) -> Instance:
        """Make the Node, unless the demand's script says otherwise."""
        if spec.instance_type.lower() not in self._skus:
            raise ProviderError(FailureCode.INVALID_REQUEST, f"there is no machine size {spec.instance_type!r}")
        script = Script.of(spec.parameters, self._settings)
        try:
            node = await self._scripted(spec, script)
        except KubeError as error:
            raise _refusal(error) from error
        return instance_of(node, datetime.now(UTC))

    async def _scripted(self, spec: InstanceSpec, script: Script) -> JsonObject:
        now = datetime.now(UTC)
        booted_at = now + timedelta(seconds=script.boot_seconds)
        await self._faults.refuse(spec, script)
        wanted = new_node(spec, now, booted_at, await self._faults.fate(spec, script, booted_at))
        await self._faults.be_late(spec, script, wanted)
        node = await self._made(spec, wanted)
        self._nodes.remember(node)
        await self._faults.crash(spec, script)
        return node

    async def _made(self, spec: InstanceSpec, node: JsonObject) -> JsonObject:
        try:
            return await self._kube.create(NODES, node)
        except Conflict:
            found = await self._kube.get(ObjectRef(NODES, spec.name))
            if found is None or not is_machine(found):
                text = f"a node named {spec.name} is there, and it is none of the fake cloud's"
                raise ProviderError(FailureCode.INTERNAL, text) from None
            return found

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

    async def watch(self, _changed: Callable[[Key], None], /) -> None:
        """Nothing to do: machines are nodes, and the loop watches those."""
        await asyncio.Event().wait()

    async def run(self) -> None:
        """Act the machines, the pods, and what befalls them."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._keeper.run())
            group.create_task(self._walker.run())
            group.create_task(self._faults.run())

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
    return FakeProvider(context.kube, context.nodes, from_environment(FakeSettings), context.name or "fake")

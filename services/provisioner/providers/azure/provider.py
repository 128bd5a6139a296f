"""AKS agent pools as machines: one pool of one node for each, as Azure's own provisioner of GPU nodes makes them."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Sequence
from datetime import UTC, datetime, timedelta

from azure.core.credentials_async import AsyncTokenCredential
from azure.mgmt.containerservice.models import AgentPool
from pydantic import ValidationError

from services.chassis.kube import NODES, KubeError, dig_str
from services.contracts.errors import FailureCode, ProviderError
from services.contracts.offers import Offer
from services.provisioner.cached import Cached
from services.provisioner.node_facts import NodeFacts, facts
from services.provisioner.provider import Deadlines, Instance, InstanceSpec, InstanceState, Key
from services.provisioner.providers.azure import naming, parameters, pools
from services.provisioner.providers.azure.arm import Arm
from services.provisioner.providers.azure.login import credential
from services.provisioner.providers.azure.readings import MarketReader, Operations
from services.provisioner.providers.azure.settings import AzureSettings, what_is_wrong
from services.provisioner.providers.azure.translate import Refused
from services.provisioner.registry import Context
from services.provisioner.skus import load_table

log = logging.getLogger(__name__)

_SPENT = (FailureCode.QUOTA_EXCEEDED, FailureCode.INSUFFICIENT_CAPACITY)
_MISCONFIGURED = (FailureCode.UNAUTHORIZED, FailureCode.NOT_FOUND)


class AzureProvider:
    """What is asked for is submitted, never waited for; `list` shows how far it is. All state is Azure's."""

    name = "azure"
    simulated = False
    owns_nodes = True
    deadlines = Deadlines(launch=timedelta(minutes=15), registration=timedelta(minutes=20))
    """AKS goes on for 10 minutes and more until drivers are set up. That there is no room it says within few."""

    def __init__(self, context: Context, settings: AzureSettings, tokens: AsyncTokenCredential) -> None:
        self._context = context
        self._settings = settings
        self._arm = Arm(settings, tokens)
        self._pools = Cached(self._all, settings.list_seconds)
        self._table = tuple(sku.offer() for sku in load_table("azure").values())
        self._market = MarketReader(self._arm, settings, self._table)
        self._operations = Operations(self._arm, settings.poll_seconds)
        self._problem: str | None = None

    async def offers(self) -> tuple[Offer, ...]:
        """The sizes that are sold in the region, with how many more the quota allows."""
        market = await self._market.get()
        zones = parameters.zones_in(self._settings.zones)
        return market.offers(self._table, spot=self._settings.spot, zones=zones)

    async def list(self, workspace: Key | None = None) -> tuple[Instance, ...]:
        """The pools with our tags. Other people's pools are passed over.

        That a workspace has none is never said from memory: another process may have asked for one since.
        """
        now = time.monotonic()
        found = await self._of(workspace, await self._read(self._pools.get()))
        if workspace and not found:
            found = await self._of(workspace, await self._read(self._pools.since(now)))
        return found

    async def _read(self, pools: Awaitable[tuple[AgentPool, ...]]) -> tuple[AgentPool, ...]:
        """The pools; takes note of a problem that only a person can change."""
        try:
            found = await pools
        except ProviderError as error:
            self._problem = error.message if error.code in _MISCONFIGURED else None
            raise
        self._problem = None
        return found

    async def _of(self, workspace: Key | None, found: Sequence[AgentPool]) -> tuple[Instance, ...]:
        """The machines of a workspace, or of all."""
        ours = [pool for pool in found if pools.is_ours(pool) and workspace in (None, _key(pool))]
        nodes = await self._nodes(ours)
        return tuple([await self._instance(pool, nodes.get(pool.name or "")) for pool in ours])

    async def create(self, spec: InstanceSpec) -> Instance:
        """Submit a new pool, or adopt the one that is there."""
        wishes = parameters.read(spec.parameters, self._settings)
        name = naming.pool_name(spec.name)
        if (found := await self._arm.get(name)) is not None:
            return await self._adopted(spec, found)
        await self._never_came(name)
        wanted = pools.new_pool(spec, wishes, self._settings, self._market.last, datetime.now(UTC))
        self._pools.forget()
        try:
            accepted, operation = await self._arm.create(name, wanted)
        except Refused as refused:
            return await self._refused(spec, name, refused)
        finally:
            # Whatever has come back, or has not: the pool may be there now.
            self._pools.forget()
        self._operations.note(name, operation)
        # An answer that does not say whose the pool is takes nothing back: it was not there before.
        return await self._adopted(spec, accepted if pools.is_ours(accepted) else wanted)

    async def delete(self, instance: Instance) -> None:
        """Submit the deletion."""
        try:
            await self._arm.delete(instance.id)
        except Refused as refused:
            if not refused.busy or not await self._is_going(instance.id):
                raise
        finally:
            self._pools.forget()
        self._operations.forget(instance.id)
        self._market.forget()

    async def run(self) -> None:
        """Nothing to do but to close the connections at the end."""
        try:
            await asyncio.Event().wait()
        finally:
            await self.close()

    async def problem(self) -> str | None:
        """What only a person can change: credentials, permissions, the cluster's name."""
        return self._problem

    async def close(self) -> None:
        """Close the connections."""
        await self._arm.close()

    async def _all(self) -> tuple[AgentPool, ...]:
        """The pools; also one that was accepted a moment ago, and that the list does not show yet."""
        found = await self._arm.pools()
        late = set(self._operations.recent()) - {pool.name for pool in found}
        read = [await self._arm.get(name) for name in sorted(late)]
        return (*found, *(pool for pool in read if pool))

    async def _never_came(self, name: str) -> None:
        """Raises `ProviderError`, once, where Azure had accepted the pool, failed to make it, and kept nothing."""
        if error := await self._operations.error(name):
            self._operations.forget(name)
            raise ProviderError(error.code(), error.text)

    async def _refused(self, spec: InstanceSpec, name: str, refused: Refused) -> Instance:
        """Somebody may have been faster (412), or have asked for the very same (409): then it is adopted."""
        if refused.busy or refused.status in (409, 412):
            found = await self._arm.get(name)
            if found is not None:
                return await self._adopted(spec, found)
        if refused.code in _SPENT:
            self._market.forget()
        raise refused

    async def _adopted(self, spec: InstanceSpec, pool: AgentPool) -> Instance:
        """The machine that a pool is. Two workspaces whose names give one pool's name must not share it."""
        tags = pools.tags_of(pool)
        if naming.owner_in(tags) != spec.owner or naming.instance_in(tags) != spec.name:
            whose = naming.instance_in(tags) or "nobody that Kaito Bus knows"
            text = f"agent pool {naming.pool_name(spec.name)} is there already and belongs to {whose}; it is left alone"
            raise ProviderError(FailureCode.INTERNAL, text)
        nodes = await self._nodes([pool])
        return await self._instance(pool, nodes.get(pool.name or ""))

    async def _is_going(self, name: str) -> bool:
        found = await self._arm.get(name)
        return found is None or pools.status_of(found) == InstanceState.DELETING

    async def _instance(self, pool: AgentPool, node: NodeFacts | None) -> Instance:
        error = pools.own_error(pool) if pools.is_failed(pool) else None
        if error is None and (pools.is_failed(pool) or pools.is_creating(pool)):
            error = await self._operations.error(pool.name or "")
        return pools.instance_of(pool, node, error, datetime.now(UTC))

    async def _nodes(self, wanted: Sequence[AgentPool]) -> dict[str, NodeFacts]:
        """The nodes, by pool. They join with our labels, so the watch has them; without, the API server is asked."""
        known = {pool: facts(n) for n in self._context.nodes.all() if (pool := _pool_of(n))}
        lacking = [pool.name for pool in wanted if pool.name and pool.name not in known and _should_have_node(pool)]
        if not lacking:
            return known
        try:
            found = await self._context.kube.list(NODES, labels=f"{naming.AGENT_POOL} in ({','.join(lacking)})")
        except KubeError as error:
            # Not to know a node is not to have seen that there is none: a machine could be given up for it.
            text = f"the API server does not say which nodes the agent pools have: {error}"
            raise ProviderError(FailureCode.INTERNAL, text) from error
        return known | {_pool_of(node): facts(node) for node in found.items}


def _key(pool: AgentPool) -> Key | None:
    owner = naming.owner_in(pools.tags_of(pool))
    return owner.key if owner else None


def _pool_of(node: dict[str, object]) -> str:
    return dig_str(node, "metadata", "labels", naming.AGENT_POOL)


def _should_have_node(pool: AgentPool) -> bool:
    return pools.status_of(pool) not in ("creating", "deleting")


async def make(context: Context) -> AzureProvider:
    """For the registry. Ends the process, in a sentence, where settings are missing."""
    try:
        settings = AzureSettings()
    except ValidationError as error:
        raise SystemExit(f"the provisioner cannot start: {what_is_wrong(error)}") from None
    # The SDK tells every request at INFO, and at WARNING, with a traceback, that a proxy's page is no JSON.
    logging.getLogger("azure").setLevel(logging.WARNING)
    logging.getLogger("azure.mgmt").setLevel(logging.ERROR)
    return AzureProvider(context, settings, credential(settings))

"""A provisioner that dies at any moment between taking up a demand and reporting on it leaves one machine, or none.

The pass is killed at its first suspension, at its second, and so on until it comes to its end. After each death another
process takes over. Bus and API server are real; the clouds speak over HTTP, and keep what they have begun.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio

from services.contracts.messages import Demand, Report
from services.provisioner.bounded import Bounded
from services.provisioner.loop import Loop
from services.provisioner.nodes import Nodes
from services.provisioner.offers import OfferPublisher
from services.provisioner.provider import Deadlines, Provider, instance_name
from services.provisioner.providers.aws.client import AwsClient
from services.provisioner.providers.aws.provider import AwsProvider
from services.provisioner.providers.aws.settings import AwsSettings
from services.provisioner.providers.azure.login import credential
from services.provisioner.providers.azure.naming import pool_name
from services.provisioner.providers.azure.provider import AzureProvider
from services.provisioner.providers.azure.settings import AzureSettings
from services.provisioner.refusals import Pauses, Refusals
from services.provisioner.registry import Context
from tests.integration.aws_front import Moto, aws, moto
from tests.integration.azure_cloud import cloud_on
from tests.kubernetes.fuse import Fuse
from tests.kubernetes.provisioner_fixtures import World, until, world

__all__ = ["moto", "world"]
pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(300, func_only=True)]

ENOUGH = 400
"""A pass has fewer suspensions than this, or something is wrong."""


@dataclass
class Cloud:
    """`process` gives the provider of a new process; `machines` are the names there are, of any workspace."""

    name: str
    size: str
    process: Callable[[Nodes], Provider]
    machines: Callable[[], list[str]]
    finish: Callable[[], None]
    """What is being deleted is gone."""


@pytest_asyncio.fixture(loop_scope="session", params=["azure", "aws"])
async def cloud(
    request: pytest.FixtureRequest, world: World, moto: Moto, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Cloud]:
    async with azure(world, tmp_path, monkeypatch) if request.param == "azure" else eks(moto, monkeypatch) as found:
        yield found


@asynccontextmanager
async def azure(world: World, folder: Path, env: pytest.MonkeyPatch) -> AsyncIterator[Cloud]:
    async with cloud_on(folder, env) as behind:
        state = behind.arm.state
        made: list[AzureProvider] = []

        def process(nodes: Nodes) -> AzureProvider:
            settings = AzureSettings()
            made.append(AzureProvider(Context(world.kube, nodes), settings, credential(settings)))
            return made[-1]

        yield Cloud("azure", "Standard_NC24ads_A100_v4", process, lambda: list(state.pools), state.finish_deletions)
        for provider in made:
            await provider.close()


@asynccontextmanager
async def eks(moto: Moto, env: pytest.MonkeyPatch) -> AsyncIterator[Cloud]:
    env.setenv("KAITOBUS_AWS_REQUEST_SECONDS", "20")
    async with aws(moto, env) as front:
        client = AwsClient(AwsSettings())

        def process(nodes: Nodes) -> AwsProvider:
            found = AwsProvider(AwsSettings(), nodes)
            found._client = client  # the SDK reads its tables for a second, and keeps nothing of what it is asked
            return found

        yield Cloud(
            "aws",
            "g5.xlarge",
            process,
            lambda: list(front.groups),
            lambda: None,
        )


class Processes:
    """One provisioner after the other, on the same bus, cluster and cloud."""

    def __init__(self, world: World, cloud: Cloud, nodes: Nodes) -> None:
        self._world = world
        self._cloud = cloud
        self._nodes = nodes
        self._demand = world.demand(1)
        self._fuses: list[Fuse] = []

    def next(self) -> Loop:
        """A process that knows nothing of those before."""
        provider = Bounded(self._cloud.process(self._nodes), at_once=4, changes_per_second=1000, seconds=20)
        offers = OfferPublisher(self._world.bus, provider, 60)
        offers.asked = True
        return Loop(self._world.bus, provider, self._nodes, offers, Refusals(Pauses()), Deadlines())

    async def converge(self, done: Callable[[Report], object]) -> Report:
        """Another process takes the demand up, as often as the bus shows it, until it has reported so."""
        loop = self.next()

        async def look() -> Report | None:
            self._cloud.finish()
            await loop.handle(self._demand)
            said = await self._world.report(self._cloud.name)
            return said if said and done(said) else None

        return await until(look, otherwise=lambda: self._world.report(self._cloud.name))

    async def want(self, nodes: int, revision: int) -> None:
        """Demand so many machines, and wait until the bus shows it."""
        self._demand = self._world.demand(nodes, revision, provider=self._cloud.name, size=self._cloud.size)
        await self._world.bus.publish(self._demand)
        await until(self._stands)

    async def _stands(self) -> bool:
        return await self._world.bus.newest(Demand, self._demand.subject) == self._demand

    async def dies_at(self, suspension: int, *, gently: bool) -> bool:
        """Whether a process died there; False if it had come to its end before."""
        self._fuses.append(fuse := Fuse(suspension, gently=gently))
        return not await fuse.survives(self.next().handle(self._demand))

    def bury(self) -> None:
        for fuse in self._fuses:
            fuse.bury()


@pytest_asyncio.fixture(loop_scope="session")
async def processes(world: World, cloud: Cloud) -> AsyncIterator[Processes]:
    nodes = Nodes(world.kube, cloud.name)
    watch = asyncio.create_task(nodes.run())
    await until(lambda: _synced(nodes))
    found = Processes(world, cloud, nodes)
    yield found
    found.bury()
    watch.cancel()
    await asyncio.gather(watch, return_exceptions=True)


async def _synced(nodes: Nodes) -> bool:
    return nodes.synced


def anew(world: World, cloud: Cloud) -> str:
    """Another workspace; returns what its only machine is called in the cloud."""
    world.name, world.uid = f"w-{uuid.uuid4().hex[:8]}", str(uuid.uuid4())
    name = instance_name(cloud.name, world.uid, 0)
    return pool_name(name) if cloud.name == "azure" else name


@pytest.mark.parametrize("gently", [False, True], ids=["killed", "cancelled"])
async def test_a_process_that_dies_while_it_creates_leaves_one_machine_or_none(
    world: World, cloud: Cloud, processes: Processes, record_property: Callable[[str, object], None], gently: bool
) -> None:
    left: list[int] = []
    for suspension in range(1, ENOUGH):
        machine = anew(world, cloud)
        await processes.want(1, 1)
        died = await processes.dies_at(suspension, gently=gently)
        left.append(len(cloud.machines()))
        ended = not died and left[-1] == 1
        assert cloud.machines() in ([], [machine])
        await processes.converge(lambda said: said.nodes)
        assert cloud.machines() == [machine], f"after a death at suspension {suspension}"
        await processes.want(0, 2)
        await processes.converge(lambda said: said.released)
        assert cloud.machines() == []
        if ended:
            break
    assert set(left) == {0, 1}, "deaths before the call and after it"
    record_property("deaths", len(left) - 1)


async def test_a_process_that_dies_while_it_lets_go_leaves_nothing_for_long(
    world: World, cloud: Cloud, processes: Processes
) -> None:
    for suspension in range(1, ENOUGH):
        machine = anew(world, cloud)
        await processes.want(1, 1)
        await processes.converge(lambda said: said.nodes)
        assert cloud.machines() == [machine]
        await processes.want(0, 2)
        died = await processes.dies_at(suspension, gently=False)
        await processes.converge(lambda said: said.released)
        assert cloud.machines() == []
        if not died:
            break

"""A quarter of an hour in which the cloud says nothing, in virtual time: the loop's own passes, one after another."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import cast

import pytest

from services.chassis.bus import Bus, Last
from services.chassis.kube import KubeClient
from services.contracts.errors import FailureCode, ProviderError
from services.contracts.messages import Demand, Message, Report
from services.contracts.offers import Offer
from services.provisioner import loop as loop_module
from services.provisioner.loop import Loop
from services.provisioner.nodes import Nodes
from services.provisioner.offers import OfferPublisher
from services.provisioner.provider import Instance, InstanceSpec, InstanceState, Key
from services.provisioner.refusals import Pauses, Refusals
from tests.unit.provisioner_cloud import DEADLINES, START, Cloud, demand, name_of

SILENCE = timedelta(minutes=15)


class MemoryBus:
    """The newest message of each subject."""

    def __init__(self) -> None:
        self.newest_of: dict[str, Message] = {}
        self.said: list[Report] = []

    async def newest(self, _kind: type[Message], subject: str) -> Message | None:
        return self.newest_of.get(subject)

    async def last(self, _kind: type[Message], subject: str) -> Last[Message]:
        return Last(self.newest_of.get(subject), 0)

    async def publish(self, message: Message, *, expect: int | None = None) -> int:
        self.newest_of[message.subject] = message
        if isinstance(message, Report):
            self.said.append(message)
        return 1


class SilentCloud:
    """A cloud in memory that can be told not to answer. Counts what it is asked."""

    name, simulated, owns_nodes = "fake", False, False

    def __init__(self, cloud: Cloud) -> None:
        self.cloud = cloud
        self.silent = False
        self.asked: list[str] = []

    def _answers(self, verb: str) -> None:
        self.asked.append(verb)
        if self.silent:
            raise ProviderError(FailureCode.TIMEOUT, f"the cloud did not answer to {verb} within 15 s")

    async def offers(self) -> tuple[Offer, ...]:
        return ()

    async def list(self, workspace: Key | None = None) -> tuple[Instance, ...]:
        self._answers("list")
        return tuple(i for i in self.cloud.instances.values() if workspace in (None, i.owner.key))

    async def create(self, spec: InstanceSpec) -> Instance:
        self._answers("create")
        self.cloud.create(spec)
        return self.cloud.instances[spec.name]

    async def delete(self, instance: Instance) -> None:
        self._answers("delete")
        self.cloud.set(instance.name, InstanceState.DELETING)


class World:
    """A loop over one demand, and the time."""

    def __init__(self, wanted: Demand, monkeypatch: pytest.MonkeyPatch) -> None:
        self.wanted, self.cloud, self.bus = wanted, Cloud(), MemoryBus()
        self.provider = SilentCloud(self.cloud)
        self.bus.newest_of[wanted.subject] = wanted
        monkeypatch.setattr(loop_module, "_now", lambda: self.cloud.now)
        bus = cast("Bus", self.bus)
        nodes = Nodes(cast("KubeClient", None), "fake")
        monkeypatch.setattr(Nodes, "synced", True)
        monkeypatch.setattr(Nodes, "of", lambda *_: ())
        monkeypatch.setattr(Nodes, "read", self._read)
        offers = OfferPublisher(bus, self.provider, 60)
        offers.asked = True
        self.loop = Loop(bus, self.provider, nodes, offers, Refusals(Pauses()), DEADLINES)

    async def _read(self, name: str) -> object:
        return self.cloud.nodes.get(name)

    async def passes(self, until: datetime) -> int:
        """Pass when the loop itself wants to, until that time; returns how often."""
        count = 0
        while self.cloud.now < until:
            again = await self.loop.handle(self.wanted)
            count += 1
            self.cloud.now += timedelta(seconds=again.after if again else 60)
        return count

    @property
    def said(self) -> Report:
        return self.bus.said[-1]


Before = Callable[[World], None]


def ready(world: World) -> None:
    world.cloud.settle()


def booting(_world: World) -> None:
    """Nothing has happened yet."""


def names(world: World) -> Sequence[str]:
    return sorted(world.cloud.instances)


@pytest.mark.parametrize("before", [ready, booting])
async def test_silence_changes_nothing_is_told_and_is_over_when_it_is_over(
    before: Before, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(demand(2), monkeypatch)
    await world.loop.handle(world.wanted)
    before(world)
    await world.passes(world.cloud.now + timedelta(seconds=20))
    known, machines = world.said, names(world)
    assert machines == [name_of(0), name_of(1)]

    world.provider.silent, world.provider.asked = True, []
    passes = await world.passes(world.cloud.now + SILENCE)
    assert world.provider.asked == ["list"] * passes, "nothing is changed in a cloud that cannot be seen"
    assert passes <= SILENCE / timedelta(seconds=10) + 1
    silent = world.said
    assert silent.failure is not None
    assert (silent.failure.code, silent.failure.message) == (
        FailureCode.TIMEOUT, "the cloud did not answer to list within 15 s",
    )  # fmt: skip
    assert silent.next_at == silent.failure.retry_at
    assert silent.next_step is not None
    assert silent.next_step.startswith("the cloud is asked again at")
    assert (silent.conditions, silent.nodes, silent.phases) == (known.conditions, known.nodes, known.phases)

    world.provider.silent, world.provider.asked = False, []
    world.cloud.settle()  # what was booting has come in the meantime
    await world.passes(world.cloud.now + timedelta(seconds=30))
    assert set(world.provider.asked) == {"list"}
    assert names(world) == machines
    assert world.said.failure is None
    assert [c.is_true for c in world.said.conditions] == [True, True, True]


async def test_a_machine_that_is_as_it_was_after_the_silence_is_given_up_then(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(demand(1), monkeypatch)
    await world.loop.handle(world.wanted)
    world.provider.silent = True
    await world.passes(START + SILENCE)
    world.provider.silent, world.provider.asked = False, []
    await world.passes(world.cloud.now + timedelta(seconds=5))
    assert "delete" in world.provider.asked
    assert any("did not launch within 5 min" in str(r.failure and r.failure.message) for r in world.bus.said)


async def test_what_is_asked_for_in_the_silence_is_made_once_when_it_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(demand(3), monkeypatch)
    world.provider.silent = True
    await world.passes(START + SILENCE)
    assert world.said.failure is not None
    assert names(world) == []
    world.provider.silent, world.provider.asked = False, []
    await world.passes(world.cloud.now + timedelta(seconds=30))
    assert world.provider.asked.count("create") == 3
    assert len(names(world)) == 3

"""What the bus keeps of a workspace that is gone is forgotten, wherever a watcher is killed while it does so."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from services.contracts.messages import Demand, Message
from services.contracts.subjects import ServiceName
from services.watcher.state import to_state
from tests.unit.samples import UID, manifest, plan_state, report, workspace
from tests.unit.watcher_fakes import FakeBus, FakeKube, M, Watcher

RELEASED = report(ServiceName.SCHEDULER, released=True)
KEPT: tuple[Message, ...] = (
    to_state(workspace(deleting=True), {}),
    plan_state(retired=True),
    Demand(
        namespace="team", name="w", uid=UID, generation=1, plan_revision=1, provider="azure", nodes=0, instance_type="x"
    ),
    report(ServiceName.PROVISIONER, provider="azure", released=True),
    report(ServiceName.DEPLOYER, released=True),
    RELEASED,
)


class Killed(BaseException):
    """The process has ended here."""


class DeadlyBus(FakeBus):
    """Kills who forgets, after so many messages."""

    def __init__(self, log: list[str]) -> None:
        super().__init__(log)
        self.left = 0

    async def forget(self, kind: type[M], subject: str, uid: str, meant: Callable[[M], bool] = lambda _: True) -> None:
        if not self.left:
            raise Killed
        self.left -= 1
        await super().forget(kind, subject, uid, meant)


async def killed_after(forgotten: int) -> tuple[Watcher, DeadlyBus]:
    """A watcher that is started after the one before was killed, that many messages into its forgetting."""
    kube = FakeKube()
    bus = DeadlyBus(kube.log)
    kube.put(manifest(deleting=True))
    bus.put(*KEPT)
    bus.left = forgotten
    with pytest.raises(Killed):
        await Watcher(kube, bus).writer.on_message(RELEASED)
    assert len(bus.kept) == len(KEPT) - forgotten
    bus.left = len(KEPT)
    return Watcher(kube, bus), bus


@pytest.mark.parametrize("forgotten", range(len(KEPT)))
async def test_the_schedulers_word_comes_again_and_the_rest_is_forgotten(forgotten: int) -> None:
    """Nobody has acknowledged it, and a message comes again as long as it is there."""
    watcher, bus = await killed_after(forgotten)
    assert RELEASED.subject in bus.kept
    await watcher.writer.on_message(RELEASED)
    assert not bus.kept


@pytest.mark.parametrize("forgotten", range(len(KEPT) - 1))
async def test_the_rest_is_also_found_by_who_looks_for_what_is_gone(forgotten: int) -> None:
    watcher, bus = await killed_after(forgotten)
    await watcher.publisher._look_for_the_gone()
    await watcher.publisher._look(await watcher.publisher._queue._take())
    assert not bus.kept

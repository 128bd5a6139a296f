"""A plan that was made for a workspace which the bus had forgotten by then, and whose maker has ended."""

from __future__ import annotations

import pytest

from services.chassis.kube import Synced
from services.contracts.messages import Message, PlanState, Report, WorkspaceState
from services.contracts.subjects import ServiceName
from services.watcher.state import to_state
from tests.unit.samples import manifest, plan_state, report, workspace
from tests.unit.watcher_fakes import FakeBus, M, Watcher
from tests.unit.watcher_running import running, settled, states, until, watcher

__all__ = ["watcher"]

GONE = to_state(workspace(), {}).model_copy(update={"deleting": True})


class Forgetful(FakeBus):
    """It has the state in its history, and not among the newest."""

    async def subjects(self, kind: type[Message]) -> list[str]:
        return [] if kind is WorkspaceState else await super().subjects(kind)


@pytest.fixture
def forgetful(watcher: Watcher) -> Watcher:
    made = Watcher(bus=Forgetful([]))
    made.bus.put(GONE)
    made.kube.changes.put_nowait(Synced(0, "1"))
    return made


async def test_it_is_told_once_more_that_the_workspace_goes_so_that_the_plan_is_retired(forgetful: Watcher) -> None:
    forgetful.bus.put(plan_state())
    async with running(forgetful):
        await until(lambda: states(forgetful))
    assert states(forgetful) == [GONE]


@pytest.mark.parametrize("left", [plan_state(retired=True), plan_state(uid="another")], ids=["retired", "another's"])
async def test_that_is_not_told_of_other_plans(forgetful: Watcher, left: PlanState) -> None:
    forgetful.bus.put(left)
    async with running(forgetful):
        await settled(forgetful)
    assert not states(forgetful)


async def test_nor_where_the_workspace_is_there(watcher: Watcher) -> None:
    watcher.kube.put(manifest())
    watcher.bus.put(plan_state(), to_state(workspace(), {}))
    watcher.kube.changes.put_nowait(Synced(0, "1"))
    async with running(watcher):
        await settled(watcher)
    assert not states(watcher)


class Restarted(FakeBus):
    """Its server has copied anew what was forgotten, but not the scheduler's word, which is in the history."""

    async def newest(self, kind: type[M], subject: str) -> M | None:
        return None if kind is Report else await super().newest(kind, subject)


async def test_what_has_come_back_with_a_restart_of_nats_is_forgotten_again() -> None:
    made = Watcher(bus=Restarted([]))
    made.bus.put(GONE, plan_state(retired=True), report(ServiceName.SCHEDULER, released=True))
    made.kube.changes.put_nowait(Synced(0, "1"))
    async with running(made):
        await until(lambda: not made.bus.kept)

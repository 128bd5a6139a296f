"""Who comes alone is held at once; of several, none before all have come."""

from __future__ import annotations

import asyncio

import pytest

from services.chassis.lull import Lull
from services.contracts.status import WorkspaceStatus
from services.watcher.arrivals import Arrivals
from services.watcher.state import to_state
from tests.unit.samples import INFERENCE, RESOURCE, TUNING, manifest, plan, plan_state, workspace
from tests.unit.virtual_time import run
from tests.unit.watcher_fakes import Watcher, configmap
from tests.unit.watcher_running import CONFIGURED, running, settled, states, until, watcher

__all__ = ["watcher"]

QUIET = 60.0


@pytest.fixture
def arrivals() -> Arrivals:
    return Arrivals(Lull(quiet=QUIET, at_most=10 * QUIET))


async def test_who_is_alone_does_not_wait(arrivals: Arrivals) -> None:
    arrivals.add(("team", "a"), "7")
    assert arrivals.pause(("team", "a"), "7") == 0


async def test_of_several_each_waits_for_the_lull(arrivals: Arrivals) -> None:
    for name in ("a", "b"):
        arrivals.add(("team", name), "7")
    assert 0 < arrivals.pause(("team", "a"), "7") <= QUIET


def test_but_none_longer_than_the_lull_lets_it() -> None:
    async def pauses() -> list[float]:
        arrivals = Arrivals(Lull(quiet=QUIET, at_most=QUIET))
        arrivals.add(("team", "a"), "7")
        await asyncio.sleep(QUIET / 2)
        arrivals.add(("team", "b"), "7")
        return [arrivals.pause(("team", name), "7") for name in ("a", "b")]

    assert run(pauses()) == [QUIET / 2, QUIET]


async def test_one_that_has_changed_since_is_looked_at_first(arrivals: Arrivals) -> None:
    for name in ("a", "b"):
        arrivals.add(("team", name), "7")
    assert arrivals.pause(("team", "a"), "8") == 0


async def test_the_last_of_them_is_alone(arrivals: Arrivals) -> None:
    for name in ("a", "b"):
        arrivals.add(("team", name), "7")
    arrivals.discard(("team", "a"))
    assert arrivals.pause(("team", "b"), "7") == 0


@pytest.mark.parametrize("end", ["held", "refused", "deleting", "gone"])
async def test_nobody_waits_for_one_that_is_not_to_be_held_any_more(end: str) -> None:
    watcher = Watcher(quiet=QUIET)
    async with running(watcher):
        await come(watcher)
        if end == "held":
            watcher.kube.put(manifest(name="a", version="8"))
        elif end == "refused":
            watcher.kube.put(manifest(held=False, name="a", version="8", tuning=TUNING, inference=INFERENCE))
        elif end == "deleting":
            watcher.kube.put(manifest(held=False, name="a", version="8", deleting=True))
        else:
            watcher.kube.remove("a")
        await settled(watcher)
        await b_is_held(watcher)


async def test_nor_for_one_that_came_when_this_process_had_the_lease_before() -> None:
    watcher = Watcher(quiet=QUIET)
    async with running(watcher):
        await come(watcher)
    watcher.kube.put(manifest(name="a", version="8"))
    watcher.kube.remove("a")
    await watcher.kube.changes.get()
    await watcher.kube.changes.get()  # others have seen that
    async with running(watcher):
        await b_is_held(watcher)


async def test_who_waits_costs_the_api_server_nothing() -> None:
    watcher = Watcher(quiet=QUIET)
    watcher.kube.add(configmap("settings"), data={"inference_config.yaml": "vllm: {}"})
    for name in ("a", "b"):
        watcher.kube.put(manifest(held=False, name=name, inference=CONFIGURED))
    async with running(watcher):
        await until(lambda: len(states(watcher)) == 2)
        reads = watcher.kube.reads
        watcher.kube.put(manifest(held=False, name="a", inference=CONFIGURED))
        await settled(watcher)
        assert watcher.kube.reads == reads


async def test_one_that_lost_our_finalizer_gets_it_again_and_is_not_told_to_be_free() -> None:
    watcher = Watcher(quiet=QUIET)
    watcher.bus.put(to_state(workspace(status=WorkspaceStatus(plan=plan())), {}))
    watcher.kube.put(manifest(held=False, version="8", status=WorkspaceStatus(plan=plan())))
    async with running(watcher):
        await until(lambda: watcher.kube.log.count("finalizer") == 1)
        await settled(watcher)
    assert not watcher.bus.published


async def test_one_that_was_planned_anew_before_it_was_held_is_gone_by_its_newest_plan(watcher: Watcher) -> None:
    first, second = plan(), plan(2)
    other = {**RESOURCE, "instanceType": "Standard_ND96isr_H100_v5"}
    fixed = second.fixed.model_copy(update={"instance_type": "Standard_ND96isr_H100_v5"})
    watcher.bus.put(plan_state(second.model_copy(update={"fixed": fixed})))
    watcher.kube.put(manifest(held=False, resource=other, status=WorkspaceStatus(plan=first)))
    async with running(watcher):
        await until(lambda: [state.held for state in states(watcher)] == [True])
    assert states(watcher)[0].plan == second.model_copy(update={"fixed": fixed})


async def come(watcher: Watcher) -> None:
    """Two are published, and wait for each other."""
    for name in ("a", "b"):
        watcher.kube.put(manifest(held=False, name=name))
    await until(lambda: len(states(watcher)) == 2)


async def b_is_held(watcher: Watcher) -> None:
    """Though it is not quiet yet."""
    watcher.kube.put(manifest(held=False, name="b", version="8"))
    await until(lambda: watcher.kube.log.count("finalizer") == 1)

"""A workspace that goes: what is published, who holds it until when, and what the bus forgets."""

from __future__ import annotations

import pytest

from services.chassis.kube import WORKSPACES, JsonObject, ObjectRef, Synced, Upsert, dig_str
from services.contracts.conditions import Reason
from services.contracts.status import WorkspaceStatus
from services.contracts.subjects import ServiceName
from services.watcher.state import to_state
from tests.unit.samples import INFERENCE, RESOURCE, TUNING, manifest, plan, report, workspace
from tests.unit.watcher_fakes import Watcher
from tests.unit.watcher_running import reason, running, settled, states, until, watcher

__all__ = ["watcher"]


class TestDeleting:
    """A workspace that goes: with its finalizer, by force, or never held at all."""

    async def test_its_deletion_is_published_and_shown(self, watcher: Watcher) -> None:
        watcher.kube.put(manifest(deleting=True))
        async with running(watcher):
            await until(lambda: dig_str(watcher.kube.workspace(), "status", "state") == "Deleting")
        (state,) = states(watcher)
        assert state.deleting

    async def test_also_when_its_spec_has_become_unreadable_or_wrong(self, watcher: Watcher) -> None:
        unreadable: JsonObject = {**RESOURCE, "count": "many"}
        watcher.kube.put(manifest(deleting=True, resource=unreadable, status=WorkspaceStatus(plan=plan())))
        async with running(watcher):
            await until(lambda: watcher.bus.published)
        assert [(s.deleting, s.plan) for s in states(watcher)] == [(True, plan())]

    async def test_one_that_others_still_hold_is_not_ours_any_more(self, watcher: Watcher) -> None:
        watcher.kube.put(manifest(deleting=True, held=False))
        async with running(watcher):
            await settled(watcher)
        assert not watcher.kube.log

    async def test_one_that_went_before_it_was_held_is_let_go_all_the_same(self, watcher: Watcher) -> None:
        watcher = Watcher(quiet=60)
        for name in ("a", "b"):
            watcher.kube.put(manifest(held=False, name=name))
        async with running(watcher):
            await until(lambda: len(states(watcher)) == 2)
            watcher.kube.remove("a")
            await until(lambda: len(states(watcher)) == 3)
        assert [(s.name, s.deleting) for s in states(watcher)] == [("a", False), ("b", False), ("a", True)]

    async def test_so_is_one_that_only_others_hold_once_it_was_published(self, watcher: Watcher) -> None:
        watcher.bus.put(to_state(workspace(held=False), {}))
        watcher.kube.put(manifest(deleting=True, held=False))
        async with running(watcher):
            await until(lambda: watcher.bus.published)
            watcher.kube.put(manifest(deleting=True, held=False))
            await settled(watcher)
        assert [s.deleting for s in states(watcher)] == [True]

    @pytest.mark.parametrize("new", [manifest(tuning=TUNING, inference=INFERENCE), manifest(deleting=True, held=False)])
    async def test_what_an_earlier_one_left_goes_where_its_namesake_publishes_nothing(
        self, watcher: Watcher, new: JsonObject
    ) -> None:
        watcher.bus.put(to_state(workspace(), {}).model_copy(update={"uid": "earlier"}))
        watcher.kube.put(new)
        async with running(watcher):
            await until(lambda: watcher.bus.published)
            await settled(watcher)
        assert [(s.uid, s.deleting) for s in states(watcher)] == [("earlier", True)]

    async def test_not_because_of_what_the_watch_still_shows(self, watcher: Watcher) -> None:
        watcher.bus.put(to_state(workspace(), {}).model_copy(update={"uid": "later"}))
        watcher.kube.shows[("team", "w")] = manifest(tuning=TUNING, inference=INFERENCE)
        watcher.kube.changes.put_nowait(Upsert(manifest(), ObjectRef(WORKSPACES, "w", "team")))
        async with running(watcher):
            await settled(watcher)
        assert not watcher.bus.published

    async def test_a_finalizer_that_was_removed_by_force_does_not_keep_what_was_made(self, watcher: Watcher) -> None:
        watcher.kube.put(manifest())
        async with running(watcher):
            await until(lambda: watcher.bus.published)
            watcher.kube.remove()
            await until(lambda: len(states(watcher)) == 2)
        assert [s.deleting for s in states(watcher)] == [False, True]

    async def test_one_that_went_while_nobody_watched_is_found(self, watcher: Watcher) -> None:
        watcher.bus.put(to_state(workspace(name="forgotten"), {}))
        watcher.kube.changes.put_nowait(Synced(0, "1"))
        async with running(watcher):
            await until(lambda: watcher.bus.published)
        assert [(s.name, s.deleting) for s in states(watcher)] == [("forgotten", True)]

    async def test_one_that_was_never_published_leaves_no_message(self, watcher: Watcher) -> None:
        watcher.kube.put(manifest(inference=INFERENCE, tuning=TUNING, held=False))
        async with running(watcher):
            await until(lambda: reason(watcher) == Reason.INVALID_SPEC)
            watcher.kube.remove()
            await settled(watcher)
        assert not watcher.bus.published

    async def test_once_the_scheduler_has_released_it_the_finalizer_goes_and_the_bus_forgets_it(
        self, watcher: Watcher
    ) -> None:
        watcher.kube.put(manifest(deleting=True))
        async with running(watcher):
            await until(lambda: dig_str(watcher.kube.workspace(), "status", "state") == "Deleting")
            released = report(ServiceName.SCHEDULER, released=True)
            watcher.bus.put(released)
            await watcher.writer.on_message(released)
            await settled(watcher)
        assert ObjectRef(WORKSPACES, "w", "team") not in watcher.kube.objects
        assert watcher.bus.kept == {}
        assert len(states(watcher)) == 1

    async def test_what_the_bus_keeps_of_one_that_went_by_force_is_forgotten_once_it_is_released(
        self, watcher: Watcher
    ) -> None:
        released = report(ServiceName.SCHEDULER, released=True)
        watcher.bus.put(to_state(workspace(), {}).model_copy(update={"deleting": True}), released)
        await watcher.writer.on_message(released)
        assert watcher.bus.kept == {}

    async def test_a_namesakes_messages_stay(self, watcher: Watcher) -> None:
        watcher.kube.put(manifest())
        namesake = to_state(workspace(), {})
        watcher.bus.put(namesake)
        await watcher.writer.on_message(report(ServiceName.SCHEDULER, released=True, uid="earlier"))
        assert [m for _, m in watcher.bus.kept.values()] == [namesake]

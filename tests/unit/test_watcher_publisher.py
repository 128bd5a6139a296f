"""From what the API server says of Workspaces to messages: in which order, and what must not happen."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from services.chassis.kube import WORKSPACES, JsonObject, ObjectRef, Synced, dig, dig_list, dig_str
from services.contracts.conditions import ConditionType, Reason, true
from services.contracts.messages import WorkspaceState
from services.contracts.status import WorkspaceStatus
from services.contracts.subjects import ServiceName
from services.contracts.workspace import FINALIZER
from services.watcher import publisher
from services.watcher.publisher import to_state
from services.watcher.workspace import read
from tests.unit.samples import INFERENCE, RESOURCE, TUNING, UID, manifest, plan, report, workspace
from tests.unit.watcher_fakes import Watcher, configmap, secret

CONFIGURED: JsonObject = {**INFERENCE, "config": "settings"}
GATED: JsonObject = {"preset": {"name": "phi-4-mini-instruct", "presetOptions": {"modelAccessSecret": "token"}}}


@pytest.fixture
def watcher(monkeypatch: pytest.MonkeyPatch) -> Watcher:
    monkeypatch.setattr(publisher, "LOOK_AGAIN", 0.01)
    monkeypatch.setattr(publisher, "AT_ONCE", 0.001)
    return Watcher()


@asynccontextmanager
async def running(*watchers: Watcher) -> AsyncIterator[None]:
    tasks = [asyncio.create_task(watcher.publisher.run()) for watcher in watchers]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0)


async def settled(watcher: Watcher) -> None:
    """Until everything that was told has been looked at, and some time more."""
    await until(watcher.kube.changes.empty)
    await asyncio.sleep(0.1)


def reason(watcher: Watcher, name: str = "w") -> str:
    status = read(watcher.kube.workspace(name)).status
    planned = status.condition(ConditionType.PLAN_READY)
    return planned.reason if planned else ""


def states(watcher: Watcher) -> list[WorkspaceState]:
    return [m for m in watcher.bus.published if isinstance(m, WorkspaceState)]


class TestGood:
    """A workspace that can be planned."""

    async def test_the_finalizer_is_there_before_anything_is_published(self, watcher: Watcher) -> None:
        watcher.kube.put(manifest(held=False))
        async with running(watcher):
            await until(lambda: watcher.bus.published)
        assert watcher.kube.log == ["finalizer", "publish WorkspaceState"]
        assert dig_list(watcher.kube.workspace(), "metadata", "finalizers") == [FINALIZER]

    async def test_finalizers_of_others_stay(self, watcher: Watcher) -> None:
        obj = manifest(held=False)
        obj["metadata"] = {**obj["metadata"], "finalizers": ["other/one"]}  # type: ignore[dict-item]
        watcher.kube.put(obj)
        async with running(watcher):
            await until(lambda: watcher.bus.published)
        assert dig_list(watcher.kube.workspace(), "metadata", "finalizers") == ["other/one", FINALIZER]

    async def test_the_message_has_all_that_a_plan_depends_on(self, watcher: Watcher) -> None:
        watcher.kube.add(configmap("settings"), data={"inference_config.yaml": "vllm: {}", "other": "x"})
        watcher.kube.put(
            manifest(
                inference=CONFIGURED, annotations={"kaito.sh/runtime": "vllm"}, status=WorkspaceStatus(plan=plan())
            )
        )
        async with running(watcher):
            await until(lambda: watcher.bus.published)
        (state,) = states(watcher)
        assert (state.uid, state.generation, state.deleting) == (UID, 1, False)
        assert state.configs == {"inference_config.yaml": "vllm: {}"}
        assert state.annotations == {"kaito.sh/runtime": "vllm"}
        assert state.plan == plan()

    async def test_what_has_not_changed_is_not_published_again(self, watcher: Watcher) -> None:
        watcher.kube.put(manifest(version="7"))
        async with running(watcher):
            await until(lambda: watcher.bus.published)
            watcher.kube.put(manifest(version="8"))
            await settled(watcher)
        assert len(states(watcher)) == 1

    async def test_nor_by_a_watcher_that_was_started_anew(self, watcher: Watcher) -> None:
        watcher.kube.put(manifest())
        async with running(watcher):
            await until(lambda: watcher.bus.published)
        watcher.kube.put(manifest())
        async with running(Watcher(watcher.kube, watcher.bus)):
            await settled(watcher)
        assert len(states(watcher)) == 1

    async def test_two_watchers_at_once_publish_one_message(self, watcher: Watcher) -> None:
        other = Watcher(watcher.kube, watcher.bus)
        watcher.kube.put(manifest())
        watcher.kube.put(manifest())  # one change for each
        async with running(watcher, other):
            await settled(watcher)
        assert len(states(watcher)) == 1

    async def test_all_are_published_again_when_the_bus_has_lost_everything(self, watcher: Watcher) -> None:
        for name in ("a", "b"):
            watcher.kube.put(manifest(name=name))
        async with running(watcher):
            await until(lambda: len(states(watcher)) == 2)
            watcher.bus.kept.clear()
            watcher.publisher.publish_all_again()
            await until(lambda: len(states(watcher)) == 4)
        assert sorted(s.name for s in states(watcher)) == ["a", "a", "b", "b"]

    async def test_what_the_bus_lost_unnoticed_is_published_with_the_next_list(self, watcher: Watcher) -> None:
        watcher.kube.put(manifest())
        async with running(watcher):
            await until(lambda: watcher.bus.published)
            watcher.bus.kept.clear()
            watcher.kube.changes.put_nowait(Synced(1, "9"))
            watcher.kube.put(manifest())
            await until(lambda: len(states(watcher)) == 2)

    async def test_it_is_published_once_the_bus_is_back(self, watcher: Watcher) -> None:
        watcher.bus.away = True
        watcher.kube.put(manifest())
        async with running(watcher):
            await settled(watcher)
            assert not watcher.bus.published
            watcher.bus.away = False
            await until(lambda: watcher.bus.published)

    async def test_a_config_map_that_changes_is_published_without_any_change_of_the_workspace(
        self, watcher: Watcher
    ) -> None:
        watcher.kube.add(configmap("settings"), data={"inference_config.yaml": "old"})
        watcher.kube.put(manifest(inference=CONFIGURED))
        async with running(watcher):
            await until(lambda: watcher.bus.published)
            watcher.kube.add(configmap("settings"), data={"inference_config.yaml": "new"})
            await until(lambda: len(states(watcher)) == 2)
        assert [s.configs["inference_config.yaml"] for s in states(watcher)] == ["old", "new"]


class TestBad:
    """A workspace that cannot be planned is told so, and nothing else happens."""

    @pytest.mark.parametrize("held", [False, True])
    async def test_a_bad_spec_is_not_published_and_not_held(self, watcher: Watcher, held: bool) -> None:
        watcher.kube.put(manifest(inference=INFERENCE, tuning=TUNING, held=held))
        async with running(watcher):
            await until(lambda: reason(watcher) == Reason.INVALID_SPEC)
            await settled(watcher)
        assert watcher.kube.log == ["status"]
        assert not watcher.bus.published

    async def test_it_is_told_while_the_bus_is_away(self, watcher: Watcher) -> None:
        watcher.bus.away = True
        watcher.kube.put(manifest(name="good"))
        watcher.kube.put(manifest(inference=INFERENCE, tuning=TUNING, name="bad"))
        async with running(watcher):
            await until(lambda: reason(watcher, "bad") == Reason.INVALID_SPEC)

    async def test_others_do_not_notice(self, watcher: Watcher) -> None:
        watcher.kube.put(manifest(inference=INFERENCE, tuning=TUNING, name="bad"))
        watcher.kube.put({"metadata": {"name": "worse", "namespace": "team"}})
        watcher.kube.put(manifest(name="good"))
        async with running(watcher):
            await until(lambda: [s.name for s in states(watcher)] == ["good"])

    async def test_a_missing_config_map_is_looked_for_again(self, watcher: Watcher) -> None:
        watcher.kube.put(manifest(inference=CONFIGURED, held=False))
        async with running(watcher):
            await until(lambda: reason(watcher) == Reason.CONFIG_MAP_NOT_FOUND)
            assert watcher.kube.log == ["status"]
            watcher.kube.add(configmap("settings"), data={"inference_config.yaml": "vllm: {}"})
            await until(lambda: watcher.bus.published)
        assert watcher.kube.log == ["status", "finalizer", "publish WorkspaceState"]

    async def test_a_config_map_without_the_key_is_told_with_the_keys_it_has(self, watcher: Watcher) -> None:
        watcher.kube.add(configmap("settings"), data={"config.yaml": ""})
        watcher.kube.put(manifest(inference=CONFIGURED))
        async with running(watcher):
            await until(lambda: reason(watcher) == Reason.INVALID_CONFIG)
        message = dig_str(watcher.kube.workspace(), "status", "conditions", 0, "message")
        assert "no key inference_config.yaml; it has config.yaml" in message

    async def test_a_missing_secret_is_looked_for_again_and_its_content_goes_nowhere(self, watcher: Watcher) -> None:
        watcher.kube.put(manifest(inference=GATED))
        async with running(watcher):
            await until(lambda: reason(watcher) == Reason.SECRET_NOT_FOUND)
            watcher.kube.add(secret("token"), data={"HF_TOKEN": "aGZfc2VjcmV0"})
            await until(lambda: watcher.bus.published)
        assert b"aGZfc2VjcmV0" not in watcher.bus.published[0].to_json()

    async def test_the_same_problem_is_written_once(self, watcher: Watcher) -> None:
        watcher.kube.put(manifest(inference=CONFIGURED))
        async with running(watcher):
            await until(lambda: reason(watcher) == Reason.CONFIG_MAP_NOT_FOUND)
            await settled(watcher)
        assert watcher.kube.log == ["status"]

    async def test_a_problem_that_is_over_goes_though_nothing_else_has_changed(self, watcher: Watcher) -> None:
        watcher.kube.put(manifest())
        async with running(watcher):
            await until(lambda: watcher.bus.published)
            watcher.bus.put(report(ServiceName.SCHEDULER, true(ConditionType.PLAN_READY, Reason.PLANNED)))
            watcher.kube.put(manifest(annotations={"kaito.sh/runtime": "guess"}))
            await until(lambda: reason(watcher) == Reason.INVALID_SPEC)
            fixed = watcher.kube.workspace()
            fixed["metadata"] = {**fixed["metadata"], "annotations": {}}  # type: ignore[dict-item]
            watcher.kube.put(fixed)
            await until(lambda: reason(watcher) == Reason.PLANNED)

    async def test_a_report_of_before_does_not_take_a_problem_back(self, watcher: Watcher) -> None:
        watcher.kube.put(manifest(annotations={"kaito.sh/runtime": "guess"}))
        before = report(ServiceName.SCHEDULER, true(ConditionType.PLAN_READY, Reason.PLANNED))
        watcher.bus.put(before)
        async with running(watcher):
            await until(lambda: reason(watcher) == Reason.INVALID_SPEC)
        await watcher.writer.on_message(before)
        assert reason(watcher) == Reason.INVALID_SPEC


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


async def test_a_change_in_between_makes_the_writer_read_again(watcher: Watcher) -> None:
    watcher.kube.put(manifest(held=False))
    stale = manifest(held=False)
    watcher.kube.objects[ObjectRef(WORKSPACES, "w", "team")] = manifest(held=False, version="8")
    assert dig(stale, "metadata", "resourceVersion") == "7"
    async with running(watcher):
        await until(lambda: watcher.bus.published)
    assert states(watcher)[0].resource_version != "7"

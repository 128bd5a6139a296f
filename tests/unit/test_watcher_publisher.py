"""From what the API server says of Workspaces to messages: in which order, and what must not happen."""

from __future__ import annotations

from services.chassis.kube import WORKSPACES, ObjectRef, Synced, Upsert, dig, dig_list
from services.contracts.status import WorkspaceStatus
from services.contracts.workspace import FINALIZER
from tests.unit.samples import UID, manifest, plan
from tests.unit.watcher_fakes import Watcher, configmap
from tests.unit.watcher_running import CONFIGURED, running, settled, states, until, watcher

__all__ = ["watcher"]


class TestGood:
    """A workspace that can be planned."""

    async def test_it_is_told_that_it_is_held_once_the_finalizer_is_there(self, watcher: Watcher) -> None:
        watcher.kube.put(manifest(held=False))
        async with running(watcher):
            await until(lambda: len(states(watcher)) == 2)
            await settled(watcher)
        assert watcher.kube.log == ["publish WorkspaceState", "finalizer", "publish WorkspaceState"]
        assert [state.held for state in states(watcher)] == [False, True]
        assert dig_list(watcher.kube.workspace(), "metadata", "finalizers") == [FINALIZER]

    async def test_of_several_at_once_all_are_published_before_one_is_held(self, watcher: Watcher) -> None:
        watcher = Watcher(quiet=0.05)
        names = [f"w{number}" for number in range(20)]  # more than are looked at side by side
        for name in names:
            watcher.kube.put(manifest(held=False, name=name))
        async with running(watcher):
            await until(lambda: sum(state.held for state in states(watcher)) == len(names))
        assert watcher.kube.log.index("finalizer") == len(names)

    async def test_one_of_which_an_older_state_is_shown_is_not_told_to_be_free_again(self, watcher: Watcher) -> None:
        watcher.kube.put(manifest(held=False))
        async with running(watcher):
            await until(lambda: len(states(watcher)) == 2)
            watcher.kube.shows[("team", "w")] = manifest(held=False)
            watcher.kube.changes.put_nowait(Upsert(manifest(held=False), ObjectRef(WORKSPACES, "w", "team")))
            await settled(watcher)
        assert [state.held for state in states(watcher)] == [False, True]

    async def test_finalizers_of_others_stay(self, watcher: Watcher) -> None:
        obj = manifest(held=False)
        obj["metadata"] = {**obj["metadata"], "finalizers": ["other/one"]}  # type: ignore[dict-item]
        watcher.kube.put(obj)
        async with running(watcher):
            await until(lambda: len(states(watcher)) == 2)
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


async def test_a_change_in_between_makes_the_writer_read_again(watcher: Watcher) -> None:
    watcher.kube.put(manifest(held=False))
    stale = manifest(held=False)
    watcher.kube.objects[ObjectRef(WORKSPACES, "w", "team")] = manifest(held=False, version="8")
    assert dig(stale, "metadata", "resourceVersion") == "7"
    async with running(watcher):
        await until(lambda: watcher.bus.published)
    assert states(watcher)[0].resource_version != "7"

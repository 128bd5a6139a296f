"""A workspace that cannot be planned: what its user is told, and what is looked for again."""

from __future__ import annotations

import pytest

from services.chassis.kube import JsonObject, dig_str
from services.contracts.conditions import ConditionType, Reason, true
from services.contracts.subjects import ServiceName
from services.watcher.state import to_state
from tests.unit.samples import INFERENCE, TUNING, manifest, report, workspace
from tests.unit.watcher_fakes import Watcher, configmap, secret
from tests.unit.watcher_running import CONFIGURED, reason, running, settled, states, until, watcher

__all__ = ["watcher"]

GATED: JsonObject = {"preset": {"name": "phi-4-mini-instruct", "presetOptions": {"modelAccessSecret": "token"}}}


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

    async def test_what_was_published_of_it_before_stands(self, watcher: Watcher) -> None:
        watcher.bus.put(to_state(workspace(), {}))
        watcher.kube.put(manifest(inference=INFERENCE, tuning=TUNING))
        async with running(watcher):
            await until(lambda: reason(watcher) == Reason.INVALID_SPEC)
            await settled(watcher)
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
        assert watcher.kube.log[:2] == ["status", "publish WorkspaceState"]

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

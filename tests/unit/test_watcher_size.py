"""NATS carries a message of 1 MiB and no more: what would not fit is told in the condition, with sizes."""

from __future__ import annotations

import nats.errors
import pytest

from services.chassis.kube import JsonObject
from services.contracts.conditions import ConditionType, Reason, StatusCondition
from services.contracts.messages import Message, PlanState, WorkspaceState
from services.contracts.plan import Workload
from services.contracts.status import WorkspaceStatus
from services.watcher.workspace import read
from tests.unit.samples import INFERENCE, UID, manifest, plan
from tests.unit.watcher_fakes import FakeBus, Watcher, configmap

MOST = 1_048_576
"""A NATS server's limit, unless its own configuration says otherwise."""
KEY = ("team", "w")
CONFIG = "inference_config.yaml"


class StrictBus(FakeBus):
    """Takes no more than a NATS server does."""

    async def publish(self, message: Message, *, expect: int | None = None) -> int:
        if len(message.to_json()) > MOST - 4096:  # headers count too
            raise nats.errors.MaxPayloadError
        return await super().publish(message, expect=expect)


@pytest.fixture
def watcher() -> Watcher:
    return Watcher(bus=StrictBus([]))


def template(size: int) -> JsonObject:
    container = {"name": "own", "image": "r.example.com/own:1", "env": [{"name": "A", "value": "x" * size}]}
    return {"spec": {"containers": [container]}}


def told(watcher: Watcher) -> StatusCondition | None:
    return read(watcher.kube.workspace()).status.condition(ConditionType.PLAN_READY)


async def test_a_config_that_is_too_long_is_told_with_its_size_and_the_limit(watcher: Watcher) -> None:
    watcher.kube.add(configmap("settings"), data={CONFIG: "vllm: {}\n#" + "x" * 1_048_500})
    watcher.kube.put(manifest(inference={**INFERENCE, "config": "settings"}))
    await watcher.publisher._look(KEY)
    condition = told(watcher)
    assert condition is not None
    assert condition.reason == Reason.INVALID_CONFIG
    assert condition.message.startswith("ConfigMap settings has 1,048,510 bytes under inference_config.yaml")
    assert "491,520 bytes (480 KiB)" in condition.message
    assert watcher.bus.published == []


async def test_it_goes_on_when_the_config_is_made_shorter(watcher: Watcher) -> None:
    watcher.kube.add(configmap("settings"), data={CONFIG: "#" * 1_000_000})
    watcher.kube.put(manifest(inference={**INFERENCE, "config": "settings"}))
    await watcher.publisher._look(KEY)
    watcher.kube.add(configmap("settings"), data={CONFIG: "vllm: {}"})
    await watcher.publisher._look(KEY)
    assert len(watcher.bus.published) == 1


async def test_a_template_that_is_too_long_is_told(watcher: Watcher) -> None:
    watcher.kube.put(manifest(inference={"template": template(600_000)}))
    await watcher.publisher._look(KEY)
    condition = told(watcher)
    assert condition is not None
    assert condition.reason == Reason.INVALID_SPEC
    assert condition.message.startswith("The Workspace has 600,")
    assert "491,520 bytes (480 KiB)" in condition.message


async def test_what_is_taken_still_fits_when_the_plan_repeats_it(watcher: Watcher) -> None:
    own = template(490_000)
    planned = plan(workload=Workload.TEMPLATE, template=own)
    watcher.kube.put(manifest(inference={"template": own}, status=WorkspaceStatus(plan=planned)))
    await watcher.publisher._look(KEY)
    (state,) = watcher.bus.published
    assert isinstance(state, WorkspaceState)
    assert state.plan == planned


async def test_one_that_was_made_too_long_later_can_still_be_deleted(watcher: Watcher) -> None:
    planned = plan(workload=Workload.TEMPLATE, template=template(490_000))
    watcher.bus.put(PlanState(namespace="team", name="w", uid=UID, generation=1, plan=planned))
    watcher.kube.put(
        manifest(inference={"template": template(700_000)}, deleting=True, status=WorkspaceStatus(plan=planned))
    )
    await watcher.publisher._look(KEY)
    (state,) = watcher.bus.published
    assert isinstance(state, WorkspaceState)
    assert state.deleting
    assert state.plan == planned

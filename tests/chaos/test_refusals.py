"""What the cloud refuses and what users get wrong: said at once, in words, and no neighbour notices."""

import pytest

from services.chassis.kube import NODES, STATEFULSETS, JsonObject
from services.contracts.conditions import ConditionStatus, ConditionType, Reason, StatusCondition
from services.contracts.workspace import LABEL_WORKSPACE, LABEL_WORKSPACE_NAMESPACE
from tests.chaos.cast import Cast, manifest
from tests.stack import AT_ONCE, Stack, until

pytestmark = pytest.mark.asyncio(loop_scope="session")

WORDS = "Operation could not be completed: it exceeds the approved quota of 0 cores"


async def test_without_a_named_size_the_next_offer_is_tried_when_one_is_refused(stack: Stack, cast: Cast) -> None:
    await cast.create(manifest("a", instance_type=None, fail="QuotaExceeded", fail_times="1", fail_message=WORDS))

    async def planned_anew() -> bool:
        plan = (await cast.status("a")).plan
        return plan is not None and plan.revision >= 2

    await until(planned_anew, AT_ONCE, "another offer")
    plan = (await cast.status("a")).plan
    assert plan is not None
    assert WORDS in plan.set_aside[0].message
    assert plan.instance_type != plan.set_aside[0].instance_type


async def test_a_named_size_that_is_refused_is_told_in_the_clouds_words_at_once(cast: Cast) -> None:
    await cast.create(manifest("a", fail="QuotaExceeded", fail_message=WORDS))

    async def told() -> bool:
        status = await cast.status("a")
        top = status.condition(ConditionType.WORKSPACE_READY)
        return top is not None and top.reason == "QuotaExceeded" and WORDS in top.message

    await until(told, AT_ONCE, "the cloud's words")
    status = await cast.status("a")
    assert status.plan is not None
    assert status.plan.revision == 1
    assert status.next_step


def changed(name: str, *, resource: JsonObject | None = None, **top: object) -> JsonObject:
    """A manifest with other fields."""
    found = manifest(name)
    old = found["resource"]
    assert isinstance(old, dict)
    return {**found, "resource": {**old, **(resource or {})}, **top}


def adapters() -> JsonObject:
    return {"preset": {"name": "phi-4-mini-instruct"}, "adapters": []}


TUNING: JsonObject = {
    "preset": {"name": "phi-4-mini-instruct"},
    "method": "lora",
    "input": {"urls": ["https://data.example.com/a.parquet"]},
    "output": {"image": "registry.example.com/a:1", "imagePushSecret": "there-is-none"},
}
SECRET: JsonObject = {
    "preset": {"name": "phi-4-mini-instruct", "presetOptions": {"modelAccessSecret": "there-is-none"}}
}
LABELS: JsonObject = {"matchExpressions": [{"key": "apps", "operator": "NotIn", "values": ["a"]}]}

BAD = {
    "both": (changed("both", tuning=TUNING), Reason.INVALID_SPEC),
    "neither": ({k: v for k, v in changed("neither").items() if k != "inference"}, Reason.INVALID_SPEC),
    "preset": (changed("preset", inference={"preset": {"name": "no-such-model"}}), Reason.UNKNOWN_PRESET),
    "size": (changed("size", resource={"instanceType": "no-such-size"}), Reason.UNKNOWN_INSTANCE_TYPE),
    "fit": (
        changed(
            "fit",
            inference={"preset": {"name": "deepseek-r1-0528"}},
            resource={"instanceType": "Standard_NC4as_T4_v3"},
        ),
        Reason.MODEL_DOES_NOT_FIT,
    ),
    "labels": (changed("labels", resource={"labelSelector": LABELS}), Reason.INVALID_SPEC),
    "secret": (changed("secret", inference=SECRET), Reason.SECRET_NOT_FOUND),
    "config": (changed("config", inference={**adapters(), "config": "there-is-none"}), Reason.CONFIG_MAP_NOT_FOUND),
}  # fmt: skip
"""Manifests that cannot be followed, and the reason that is given, by the workspace's name."""


async def test_bad_specs_are_told_at_once_and_make_nothing_and_a_good_one_does_not_notice(
    stack: Stack, cast: Cast
) -> None:
    await cast.create(*(bad for bad, _ in BAD.values()), manifest("good"))
    for name, (_, reason) in BAD.items():
        condition = await refused(cast, name)
        assert (name, condition.reason) == (name, reason)
        assert condition.message
    await cast.all_converge("good")
    made = await stack.kube.list(STATEFULSETS, namespace=cast.namespace, labels=LABEL_WORKSPACE)
    nodes = await stack.kube.list(NODES, labels=f"{LABEL_WORKSPACE_NAMESPACE}={cast.namespace}")
    assert (len(made.items), len(nodes.items)) == (1, 1)


async def refused(cast: Cast, name: str) -> StatusCondition:
    """The plan's condition, as soon as it says what is wrong."""

    async def word() -> StatusCondition | None:
        found = (await cast.status(name)).condition(ConditionType.PLAN_READY)
        return found if found and found.status is ConditionStatus.FALSE else None

    found = await until(word, AT_ONCE, f"a word on {name}")
    assert found is not None
    return found


async def test_a_fixed_field_that_is_changed_later_is_told_and_what_runs_goes_on(stack: Stack, cast: Cast) -> None:
    await cast.create(manifest("a"))
    await cast.all_converge("a")
    patch = '{"resource": {"instanceType": "Standard_NC48ads_A100_v4"}}'
    await stack.kubectl("-n", cast.namespace, "patch", "wk", "a", "--type=merge", "-p", patch)
    condition = await refused(cast, "a")
    assert condition.reason == Reason.IMMUTABLE_FIELD_CHANGED
    plan = (await cast.status("a")).plan
    assert plan is not None
    assert plan.revision == 1
    sets = (await stack.kube.list(STATEFULSETS, namespace=cast.namespace, labels=LABEL_WORKSPACE)).items
    assert len(sets) == 1

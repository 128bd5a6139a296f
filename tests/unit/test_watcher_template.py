"""A pod of the user's own has containers: one that cannot run is told before a node is bought for it."""

from __future__ import annotations

import pytest

from services.chassis.kube import JsonObject
from services.contracts.conditions import Reason
from services.watcher.validate import find_problem
from tests.unit.samples import workspace

CONTAINER: JsonObject = {"name": "own", "image": "r.example.com/own:1"}


def containers(*found: object) -> JsonObject:
    return {"spec": {"containers": list(found)}}


@pytest.mark.parametrize(
    "template",
    [
        containers(CONTAINER),
        {"metadata": {"labels": {"a": "b"}}, **containers(CONTAINER, {**CONTAINER, "name": "two", "args": ["x"]})},
    ],
)
def test_a_pod_with_containers_is_taken(template: JsonObject) -> None:
    assert find_problem(workspace(inference={"template": template})) is None


@pytest.mark.parametrize(
    ("template", "words"),
    [
        ({}, "has no containers"),
        ({"spec": {}}, "has no containers"),
        ({"spec": "x"}, "has no containers"),
        ({"spec": None}, "has no containers"),
        ({"spec": {"containers": "x"}}, "has no containers"),
        ({"spec": {"containers": {}}}, "has no containers"),
        (containers(), "has no containers"),
        (containers("x"), "containers[0] has no name"),
        (containers({"image": "i"}), "containers[0] has no name"),
        (containers(CONTAINER, {**CONTAINER, "name": ""}), "containers[1] has no name"),
        (containers({**CONTAINER, "name": 1}), "containers[0] has no name"),
        (containers({"name": "own"}), "containers[0] has no image"),
        (containers({"name": "own", "image": ""}), "containers[0] has no image"),
    ],
    ids=str,
)
def test_one_that_no_cluster_would_run_is_told_with_what_to_write(template: JsonObject, words: str) -> None:
    problem = find_problem(workspace(inference={"template": template}))
    assert problem is not None
    assert problem.reason is Reason.INVALID_SPEC
    assert words in problem.message
    assert problem.message.startswith("inference.template.spec")
    assert "such as containers: [{name: server, image: registry.example.com/server:v1}]" in problem.message

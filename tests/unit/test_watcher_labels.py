"""Keys of the label selector: what no node can carry, or what tells of the node itself, is told before it is bought."""

from __future__ import annotations

import pytest

from services.chassis.kube import JsonObject
from services.contracts.conditions import Reason
from services.contracts.labels import is_label_key, tells_of_node
from services.watcher.validate import find_problem
from tests.unit.samples import workspace

GOOD = [
    "apps",
    "a",
    "A.b_c-d",
    "0",
    "example.com/x",
    "my.team.example.com/App_1",
    "a" * 63,
    f"{'a.' * 126}a/x",
    "x" * 9,
]
NO_KEYS = [
    "", "bad key!", "a" * 300, "a" * 64, "UPPER.example/x", "/x", "example.com/", "a/b/c", "-a", "a-", "a,b", "a=b",
    "ex_ample.com/x", f"{'a' * 254}/x", "é", "a\n", ".com/x",
]  # fmt: skip
OF_NODES = [
    "kubernetes.io/hostname", "kubernetes.io/os", "node.kubernetes.io/instance-type", "topology.kubernetes.io/zone",
    "node-role.kubernetes.io/worker", "k8s.io/x", "any.k8s.io/x",
]  # fmt: skip


def said(key: str, provider: str | None = None, *, expression: bool = False) -> str:
    selector: JsonObject = {"matchLabels": {"apps": "phi", key: "x"}}
    if expression:
        selector = {"matchExpressions": [{"key": key, "operator": "In", "values": ["x"]}]}
    annotations = {"kaito.sh/provider": provider} if provider else None
    problem = find_problem(workspace(resource={"labelSelector": selector}, annotations=annotations))
    assert problem is None or problem.reason is Reason.INVALID_SPEC
    return problem.message if problem else ""


@pytest.mark.parametrize("key", GOOD)
def test_what_can_be_the_key_of_a_label_is_taken(key: str) -> None:
    assert is_label_key(key)
    assert said(key) == ""


@pytest.mark.parametrize("key", NO_KEYS)
@pytest.mark.parametrize("expression", [False, True])
def test_what_cannot_is_told(key: str, expression: bool) -> None:
    assert not is_label_key(key)
    assert said(key, expression=expression).startswith(
        f"resource.labelSelector: {key[:100]!r} cannot be the key of a label"
    )


@pytest.mark.parametrize("key", OF_NODES)
@pytest.mark.parametrize("provider", [None, "azure", "local"])
def test_what_tells_of_a_node_is_not_ours_to_set(key: str, provider: str | None) -> None:
    words = said(key, provider)
    assert words.startswith(f"resource.labelSelector: {key} tells what a node is")
    assert "kaito.sh/provider: byo" in words


@pytest.mark.parametrize("key", OF_NODES)
def test_nodes_that_exist_may_be_chosen_by_what_they_are(key: str) -> None:
    assert said(key, "byo") == ""


@pytest.mark.parametrize("key", ["notkubernetes.io/x", "kubernetes.io.example.com/x", "nvidia.com/gpu.product", "k8s"])
def test_other_domains_are_others(key: str) -> None:
    assert not tells_of_node(key)
    assert said(key) == ""


def test_so_many_that_they_would_fill_every_message_are_told() -> None:
    many: JsonObject = {f"key-{number}": "x" for number in range(51)}
    problem = find_problem(workspace(resource={"labelSelector": {"matchLabels": many}}))
    assert problem is not None
    assert problem.message.startswith("resource.labelSelector has 51 labels; at most 50 ")
    del many["key-0"]
    assert find_problem(workspace(resource={"labelSelector": {"matchLabels": many}})) is None

"""REST paths, and reading nested JSON."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.chassis.kube import (
    JOBS,
    NODES,
    PODS,
    WORKSPACES,
    JsonObject,
    ObjectRef,
    dig,
    dig_dict,
    dig_dicts,
    dig_int,
    dig_list,
    dig_str,
)

POD: JsonObject = {
    "metadata": {"name": "a", "namespace": "ns", "generation": 3, "deletionTimestamp": None},
    "status": {"conditions": [{"type": "Ready"}, "odd", {"type": "Initialized"}], "ready": True},
}


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (PODS.path(), "/api/v1/pods"),
        (PODS.path("ns"), "/api/v1/namespaces/ns/pods"),
        (PODS.path("ns", "a", "status"), "/api/v1/namespaces/ns/pods/a/status"),
        (JOBS.path("ns", "a"), "/apis/batch/v1/namespaces/ns/jobs/a"),
        (NODES.path(name="n"), "/api/v1/nodes/n"),
        (NODES.path("ignored", "n", "status"), "/api/v1/nodes/n/status"),
        (WORKSPACES.path(), "/apis/kaito.sh/v1beta1/workspaces"),
    ],
)
def test_paths_are_those_of_the_api(path: str, expected: str) -> None:
    assert path == expected


def test_a_namespaced_object_without_a_namespace_is_refused() -> None:
    with pytest.raises(ValueError, match="Pod a lives in a namespace"):
        PODS.path(name="a")


def test_the_address_of_an_object_is_read_from_its_metadata() -> None:
    assert ObjectRef.of(PODS, POD) == ObjectRef(PODS, "a", "ns")
    assert ObjectRef.of(NODES, {"metadata": {"name": "n"}}) == ObjectRef(NODES, "n")
    assert str(ObjectRef(PODS, "a", "ns")) == "Pod ns/a"
    assert ObjectRef(NODES, "n").key == ("", "n")


def test_digging_finds_what_is_there() -> None:
    assert dig(POD, "status", "conditions", 0, "type") == "Ready"
    assert dig_str(POD, "metadata", "name") == "a"
    assert dig_int(POD, "metadata", "generation") == 3
    assert dig_dict(POD, "status", "conditions", -1) == {"type": "Initialized"}
    assert dig_dicts(POD, "status", "conditions") == [{"type": "Ready"}, {"type": "Initialized"}]
    assert len(dig_list(POD, "status", "conditions")) == 3


def test_digging_for_another_type_finds_nothing() -> None:
    assert dig_str(POD, "metadata", "generation") == ""
    assert dig_str(POD, "metadata", "deletionTimestamp") == ""
    assert dig_int(POD, "status", "ready") is None
    assert dig_dict(POD, "metadata", "name") == {}
    assert dig_list(POD, "metadata") == []


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner, max_size=3),
    max_leaves=8,
)


@given(json_values, st.lists(st.text(max_size=2) | st.integers(-5, 5), max_size=4))
def test_digging_never_raises(obj: object, path: list[str | int]) -> None:
    dig(obj, *path)
    assert isinstance(dig_str(obj, *path), str)
    assert isinstance(dig_dict(obj, *path), dict)

"""Of the SDK's tables only what is used is kept."""

from __future__ import annotations

import json

import pytest

from services.chassis.kube import JsonObject
from services.provisioner.providers.aws.models import USED, lean_session, only

OPERATIONS: JsonObject = {
    "Wanted": {"input": {"shape": "Asked"}, "output": {"shape": "Told"}},
    "Other": {"input": {"shape": "Else"}},
}
SHAPES: JsonObject = {
    "Asked": {"type": "structure", "members": {"Names": {"shape": "Names"}}},
    "Names": {"type": "list", "member": {"shape": "Name"}},
    "Name": {"type": "string"},
    "Told": {"type": "structure", "members": {"Tree": {"shape": "Tree"}}},
    "Tree": {"type": "structure", "members": {"Below": {"shape": "Tree"}}},
    "Else": {"type": "structure", "members": {"Name": {"shape": "Name"}}},
}


def test_an_operation_keeps_the_shapes_it_is_made_of() -> None:
    table: JsonObject = {"metadata": {"protocol": "ec2"}, "operations": OPERATIONS, "shapes": SHAPES}
    found = only(table, frozenset({"Wanted"}))
    assert found["metadata"] == {"protocol": "ec2"}
    assert found["operations"] == {"Wanted": OPERATIONS["Wanted"]}
    assert found["shapes"] == {name: shape for name, shape in SHAPES.items() if name != "Else"}


@pytest.mark.parametrize("service", sorted(USED))
def test_the_real_tables_shrink_to_what_is_used(service: str) -> None:
    loader = lean_session().get_component("data_loader")
    found = loader.load_service_model(service, "service-2")
    assert set(found["operations"]) == USED[service]
    assert len(json.dumps(found)) < 100_000


def test_other_tables_are_whole() -> None:
    loader = lean_session().get_component("data_loader")
    assert {"CreateNodegroup", "ListNodegroups"} <= set(loader.load_service_model("eks", "service-2")["operations"])

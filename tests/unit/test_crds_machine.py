"""A machine size that is named by blanks is refused at once by servers that know rules."""

from __future__ import annotations

import pytest

from deploy.crds.structural import Schema
from tests.unit.test_crds import INFERENCE, refusals


def sized(name: str) -> Schema:
    resource: Schema = {"instanceType": name, "labelSelector": {}}
    return {"resource": resource} | INFERENCE


@pytest.mark.parametrize("name", ["", " ", "A10 ", " A10", "A 10"])
def test_blanks(name: str) -> None:
    (message,) = refusals(sized(name))
    assert message.startswith("resource.instanceType has blanks, or is empty.")


def test_a_name() -> None:
    assert refusals(sized("Standard_NC6s_v3")) == []

"""`kaitobus up`: when the Workspace resource is there."""

import pytest

from deploy.local.up import is_established
from services.chassis.kube import JsonObject


@pytest.mark.parametrize("status", [{}, {"conditions": None}, {"conditions": []}])
def test_a_definition_without_conditions_is_not_established_yet(status: JsonObject) -> None:
    assert not is_established({"status": status})


@pytest.mark.parametrize(("word", "expected"), [("True", True), ("False", False)])
def test_a_definition_is_established_when_its_condition_says_so(word: str, expected: bool) -> None:
    conditions = [{"type": "NamesAccepted", "status": "True"}, {"type": "Established", "status": word}]
    assert is_established({"status": {"conditions": conditions}}) is expected

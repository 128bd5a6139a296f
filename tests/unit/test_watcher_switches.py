"""Annotations that switch something are true or false: money hangs on them, so other words are not taken for no."""

from __future__ import annotations

import pytest

from services.contracts.conditions import Reason
from services.watcher.validate import find_problem
from tests.unit.samples import workspace

SWITCHES = ["kaito.sh/enablelb", "kaito.sh/whole-node", "azure.kaito.sh/spot", "my-cloud.kaito.sh/spot"]


@pytest.mark.parametrize("key", SWITCHES)
@pytest.mark.parametrize("word", ["true", "false", "True", "FALSE"])
def test_true_and_false_are_taken(key: str, word: str) -> None:
    assert find_problem(workspace(annotations={key: word})) is None


@pytest.mark.parametrize("key", SWITCHES)
@pytest.mark.parametrize("word", ["yes", "perhaps", "maybe", "1", "", " true", "true\n"])
def test_other_words_are_told(key: str, word: str) -> None:
    problem = find_problem(workspace(annotations={key: word}))
    assert problem is not None
    assert problem.reason is Reason.INVALID_SPEC
    assert problem.message == f"Annotation {key} must be true or false; it is {word!r}."


def test_what_a_provider_may_be_asked_else_is_its_own_business() -> None:
    asked = {"azure.kaito.sh/zones": "1,2", "example.com/spot": "maybe", "karpenter.kaito.sh/capacity-type": "spot"}
    assert find_problem(workspace(annotations=asked)) is None


@pytest.mark.parametrize("family", ["ubuntu", "azurelinux", "al2023", "bottlerocket"])
def test_the_node_images_that_a_provider_tells_of_can_be_asked_for(family: str) -> None:
    assert find_problem(workspace(annotations={"kaito.sh/node-image-family": family})) is None

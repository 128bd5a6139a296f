"""Chat finds the way to a model, reads its event stream, and says plainly where nothing answers."""

from __future__ import annotations

import pytest

from services.cli.completions import chosen, piece_of
from services.cli.errors import CliError
from services.cli.way import check_answers, local_address
from services.contracts.conditions import ConditionType, Reason
from tests.unit.cli_samples import condition, view


@pytest.mark.parametrize(
    ("line", "piece"),
    [
        ('data: {"choices": [{"delta": {"content": "Par"}}]}\n', "Par"),
        ('data: {"choices": [{"delta": {"role": "assistant"}}]}', ""),
        ('data: {"choices": []}', ""),
        ("data: [DONE]\n", ""),
        (": a comment keeps the connection open", ""),
        ("\n", ""),
    ],
)
def test_the_text_is_taken_out_of_the_event_stream(line: str, piece: str) -> None:
    assert piece_of(line) == piece


def test_an_error_in_the_middle_of_an_answer_is_told() -> None:
    with pytest.raises(CliError, match="out of memory"):
        piece_of('data: {"error": {"message": "out of memory"}}')


@pytest.mark.parametrize(
    ("annotation", "address"),
    [
        ('{"80": "127.0.0.1:21234"}', "127.0.0.1:21234"),
        ('{"80": "10.0.0.5:21234"}', None),
        ('{"443": "127.0.0.1:1"}', None),
        ("[]", None),
        ("", None),
        ("no JSON", None),
    ],
)
def test_only_an_address_of_this_machine_is_taken(annotation: str, address: str | None) -> None:
    assert local_address(annotation) == address


def test_a_workspace_that_is_not_ready_says_what_it_waits_for() -> None:
    with pytest.raises(CliError, match=r"not ready \(WaitingForNodes\)\. kaitobus why phi"):
        check_answers(view(condition(ConditionType.INFERENCE_READY, False, Reason.INFERENCE_PENDING_NODES)))


def test_a_simulated_workspace_says_that_nothing_answers() -> None:
    ready = condition(ConditionType.INFERENCE_READY, True, Reason.SIMULATED)

    with pytest.raises(CliError, match="simulated"):
        check_answers(view(ready, simulated=True))


LISTED = {"data": [{"id": "phi-4"}, {"id": "legal", "parent": "phi-4"}, {"id": "support", "parent": "phi-4"}]}


@pytest.mark.parametrize(("adapter", "name"), [(None, "phi-4"), ("legal", "legal"), ("support", "support")])
def test_the_model_answers_unless_an_adapter_is_named(adapter: str | None, name: str) -> None:
    assert chosen(LISTED, adapter) == name


@pytest.mark.parametrize(
    ("listed", "adapter", "words"),
    [
        (LISTED, "lgeal", "no adapter lgeal: it has legal, support. Condition AdaptersReady"),
        (LISTED, "phi-4", "no adapter phi-4"),
        ({"data": [{"id": "phi-4"}]}, "legal", "no adapter legal: it has none"),
        ({"data": []}, None, "no model yet"),
        ({}, "legal", "no model yet"),
    ],
    ids=["misspelt", "the model", "none there", "nothing yet", "no list"],
)
def test_an_adapter_that_is_not_served_is_told_with_those_that_are(
    listed: object, adapter: str | None, words: str
) -> None:
    with pytest.raises(CliError, match=words):
        chosen(listed, adapter)

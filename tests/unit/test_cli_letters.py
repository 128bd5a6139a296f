"""A dead letter keeps what is needed to see it, and to publish it again."""

from __future__ import annotations

from services.cli.history import BusMessage
from services.cli.letters import read_letter
from services.cli.streams import Stored
from tests.unit.cli_samples import T0

HEADERS = {
    "Kaito-Error": "not JSON: Expecting value",
    "Kaito-Error-Type": "Poison",
    "Kaito-Original-Subject": "kaito.plan.default.phi",
    "Kaito-Delivered": "1",
    "ce-id": "uid:1",
    "traceparent": "00-1-2-01",
    "Nats-Msg-Id": "uid:1",
    "Nats-Expected-Last-Subject-Sequence": "4",
}


def letter_of(headers: dict[str, str]) -> Stored:
    subject = "kaito.dlq.deployer.kaito.plan.default.phi"
    return Stored(BusMessage(sequence=9, subject=subject, time=T0, body=b"{"), headers)


def test_a_letter_says_who_put_it_aside_and_why() -> None:
    letter = read_letter(letter_of(HEADERS))

    assert (letter.sequence, letter.service, letter.subject) == (9, "deployer", "kaito.plan.default.phi")
    assert (letter.error_type, letter.error, letter.delivered) == ("Poison", "not JSON: Expecting value", "1")


def test_the_original_subject_is_in_the_letters_own_subject_too() -> None:
    assert read_letter(letter_of({})).subject == "kaito.plan.default.phi"


def test_it_keeps_its_own_headers_but_none_that_the_server_would_act_on_when_it_is_published_again() -> None:
    assert read_letter(letter_of(HEADERS)).headers == {"ce-id": "uid:1", "traceparent": "00-1-2-01"}

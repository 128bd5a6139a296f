"""Gives a dead letter a second life, without undoing what came after it."""

from __future__ import annotations

from typing import Final

from nats.js import JetStreamContext
from nats.js.errors import APIError, NotFoundError

from services.cli.errors import CliError
from services.cli.letters import Letter, read_letter
from services.cli.streams import from_raw
from services.contracts.subjects import Stream

WRONG_LAST_SEQUENCE: Final = 10071
"""JetStream's error code for a compare-and-set that lost."""


async def get_letter(js: JetStreamContext, sequence: int) -> Letter:
    """The dead letter of that number. Raises CliError where there is none."""
    try:
        return read_letter(from_raw(await js.get_msg(Stream.DLQ, sequence)))
    except NotFoundError as error:
        raise CliError(f"The DLQ has no message {sequence}; `kaitobus dlq list` shows what it has.") from error


async def publish_again(js: JetStreamContext, letter: Letter) -> None:
    """Publish a dead letter on its own subject.

    Messages carry states and the newest wins, so one that has been followed by another is refused (CliError):
    it would put an older state in the place of a newer one. So is one that is only a part of a message.
    """
    if letter.truncated:
        raise CliError(
            f"{letter.sequence} is only a part of the message ({letter.truncated}): it was too long to be put aside "
            f"whole. Drop it: kaitobus dlq drop {letter.sequence}"
        )
    sequence = await _sequence_if_newest(js, letter)
    headers = letter.headers | {"Nats-Expected-Last-Subject-Sequence": str(sequence)}
    try:
        await js.publish(letter.subject, letter.body, stream=Stream.HISTORY, headers=headers)
    except APIError as error:
        if error.err_code == WRONG_LAST_SEQUENCE:
            raise _outdated(letter) from error
        raise


async def _sequence_if_newest(js: JetStreamContext, letter: Letter) -> int:
    try:
        newest = await js.get_last_msg(Stream.HISTORY, letter.subject, direct=True)
    except NotFoundError:
        return 0
    if newest.data != letter.body:
        raise _outdated(letter)
    return newest.seq or 0


def _outdated(letter: Letter) -> CliError:
    return CliError(
        f"A newer message is on {letter.subject}, so this one is out of date and is not published again. "
        f"Drop it: kaitobus dlq drop {letter.sequence}"
    )

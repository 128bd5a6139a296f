"""Dead letters: messages that a service could not read or handle, with its error. No I/O."""

from __future__ import annotations

from datetime import datetime

from services.cli.streams import Stored
from services.contracts.base import Contract

ERROR = "Kaito-Error"
ERROR_TYPE = "Kaito-Error-Type"
ORIGINAL_SUBJECT = "Kaito-Original-Subject"
DELIVERED = "Kaito-Delivered"
TRUNCATED = "Kaito-Truncated"

_NOT_ITS_OWN = ("Kaito-", "Nats-")


class Letter(Contract):
    """One dead letter."""

    sequence: int
    service: str
    subject: str
    """Where the message was published first."""
    time: datetime
    error: str
    error_type: str
    delivered: str
    headers: dict[str, str]
    """Those that it had when it was published, but for NATS' own.

    Published again, the same Nats-Msg-Id would be dropped as a repetition, and an expected sequence is of then.
    """
    truncated: str = ""
    """Where the body is only the beginning of the message's: how much of how much."""
    body: bytes


def read_letter(stored: Stored) -> Letter:
    """The letter in a message of the DLQ stream. Its subject is `kaito.dlq.<service>.<original subject>`."""
    _, _, service, rest = stored.message.subject.split(".", 3)
    return Letter(
        sequence=stored.message.sequence,
        service=service,
        subject=stored.headers.get(ORIGINAL_SUBJECT, rest),
        time=stored.message.time,
        error=stored.headers.get(ERROR, ""),
        error_type=stored.headers.get(ERROR_TYPE, ""),
        delivered=stored.headers.get(DELIVERED, ""),
        headers={name: value for name, value in stored.headers.items() if not name.startswith(_NOT_ITS_OWN)},
        truncated=stored.headers.get(TRUNCATED, ""),
        body=stored.message.body,
    )

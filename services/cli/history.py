"""The messages of one Workspace out of HISTORY, as they were published. No I/O."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import NamedTuple

from pydantic import ValidationError

from services.contracts.base import Contract
from services.contracts.messages import Demand, Message, PlanState, Report, WorkspaceState

_KINDS: dict[str, type[Message]] = {
    "workspace": WorkspaceState,
    "plan": PlanState,
    "demand": Demand,
    "report": Report,
}
"""The model of a message by the second token of its subject."""


class BusMessage(Contract):
    """A message as the stream keeps it. `time` is when the server took it."""

    sequence: int
    subject: str
    time: datetime
    body: bytes


class Entry(NamedTuple):
    """A message that could be read, and when it was published."""

    time: datetime
    message: Message


class Life(NamedTuple):
    """One generation of one Workspace: what a trace is about."""

    uid: str
    generation: int


def read_entries(messages: Iterable[BusMessage]) -> list[Entry]:
    """The messages that can be read, oldest first. What cannot be read lies in the DLQ as well."""
    found = []
    for message in sorted(messages, key=lambda item: item.sequence):
        kind = _KINDS.get(message.subject.split(".")[1])
        try:
            found.append(Entry(message.time, kind.model_validate_json(message.body))) if kind else None
        except ValidationError:
            continue
    return found


def lives(entries: Sequence[Entry]) -> list[Life]:
    """All generations in the history, oldest first, each uid by the time when it first appeared."""
    born: dict[str, int] = {}
    for index, entry in enumerate(entries):
        born.setdefault(entry.message.uid, index)
    found = {Life(entry.message.uid, entry.message.generation) for entry in entries}
    return sorted(found, key=lambda life: (born[life.uid], life.generation))


def of_life(entries: Iterable[Entry], life: Life) -> list[Entry]:
    """The entries that belong to one generation."""
    return [entry for entry in entries if (entry.message.uid, entry.message.generation) == life]


def subject_filters(namespace: str, name: str) -> list[str]:
    """The subjects in HISTORY that carry this Workspace."""
    kinds = ("workspace", "plan", "demand.*", "report.*")
    return [f"kaito.{kind}.{namespace}.{name}" for kind in kinds]

"""How a scenario ends."""

from __future__ import annotations

from enum import StrEnum

from services.cli.conformance.rules import Rule
from services.contracts.base import Contract


class Breach(Exception):
    """The provisioner did not keep to a sentence of the contract; the message says what was seen instead."""

    def __init__(self, rule: Rule, seen: str) -> None:
        super().__init__(seen)
        self.rule = rule
        self.seen = seen


class NotAsked(Exception):
    """The scenario cannot be played here; the message says what it would take."""


class Outcome(StrEnum):
    """A scenario that was not played never counts as passed."""

    PASSED = "passed"
    FAILED = "failed"
    NOT_ASKED = "not asked"


class Result(Contract):
    """How one scenario ended, and after how many seconds; `rule` is the sentence that was breached."""

    scenario: str
    outcome: Outcome
    seconds: float
    rule: Rule | None = None
    detail: str = ""

"""Why no plan can be made."""

from __future__ import annotations

from services.contracts.base import Contract
from services.contracts.conditions import Reason


class Refusal(Contract):
    """No plan, and why. `waits` means that it may change by itself: when a provider comes, or has room again.

    `again` are the seconds until it is worth looking again, where that is known.
    """

    reason: Reason
    message: str
    next_step: str = "Nothing is created. It is planned again as soon as the Workspace changes."
    waits: bool = False
    again: float | None = None

"""Errors with a closed set of codes, so that a reader in any language knows what may be tried again."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from services.contracts.base import Contract


class FailureCode(StrEnum):
    """What went wrong with a provider's cloud. Each is terminal for the offer, or passes."""

    QUOTA_EXCEEDED = "QuotaExceeded"
    INSUFFICIENT_CAPACITY = "InsufficientCapacity"
    UNAUTHORIZED = "Unauthorized"
    INVALID_REQUEST = "InvalidRequest"
    THROTTLED = "Throttled"
    NOT_FOUND = "NotFound"
    TIMEOUT = "Timeout"
    INTERNAL = "Internal"

    @property
    def passes(self) -> bool:
        """Whether the same request may succeed later with nobody changing anything."""
        return self in (FailureCode.THROTTLED, FailureCode.TIMEOUT, FailureCode.INTERNAL)

    @property
    def spends_offer(self) -> bool:
        """Whether another offer should be tried instead of this one."""
        return self in (
            FailureCode.QUOTA_EXCEEDED,
            FailureCode.INSUFFICIENT_CAPACITY,
            FailureCode.INVALID_REQUEST,
        )


class Failure(Contract):
    """A failure as it is reported: the code, the cloud's own words, and whether waiting can help."""

    code: FailureCode
    message: str
    instance_type: str | None = None
    retry_at: datetime | None = None

    @property
    def terminal(self) -> bool:
        """Whether someone must change something before this can succeed."""
        return not self.code.passes


class ProviderError(Exception):
    """Raised by a provider when its cloud refuses or fails; `message` keeps the cloud's own words."""

    def __init__(self, code: FailureCode, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.retry_after = retry_after
        """Seconds to wait before the next try, where the cloud says so."""

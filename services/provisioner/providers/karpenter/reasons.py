"""What a controller says about a claim that does not come, as one of our codes. Pure.

Karpenter's core leaves a claim that cannot be launched at Launched=Unknown and tries again itself; only the reason
tells it from one that is on its way. Reasons are the controllers' own: `LaunchFailed` and `InsufficientCapacityError`
are core's, `VCPULimitExceeded`, `Unauthorized`, `AMINotFound` AWS's, `SubscriptionQuotaReached`,
`ZonalAllocationFailure`, `SKUNotAvailable` Azure's. So it goes by words, most telling ones first: a quota that is
used up often comes as missing capacity, or as a failed launch.
"""

from __future__ import annotations

import re
from typing import Final

from services.contracts.errors import FailureCode

_WORDS: Final = (
    (FailureCode.THROTTLED, r"throttl|requestlimitexceeded|too ?many ?requests|rate ?limit"),
    (FailureCode.QUOTA_EXCEEDED, r"quota|(vcpu|count|instance|cores?) ?limit ?exceeded|countexceeded|vcpu limit"),
    (
        FailureCode.UNAUTHORIZED,
        r"unauthor|not authorized|authfailure|authorization ?fail|access ?denied|forbidden|permission"
        r"|disallowed ?by ?policy|pending ?verification|slrcreationfailed",
    ),
    (
        FailureCode.INSUFFICIENT_CAPACITY,
        r"capacity|allocation ?fail|overconstrained|sku ?not ?available|instance types were unavailable"
        r"|unfulfillable|insufficientfreeaddresses",
    ),
    (FailureCode.NOT_FOUND, r"not ?found|does not exist"),
    (FailureCode.INVALID_REQUEST, r"invalid|malformed|mismatch|ineligible|unsupported|sizelimitexceeded|not supported"),
    (FailureCode.TIMEOUT, r"time(d)? ?out|deadline exceeded"),
)
_PATTERNS: Final = tuple((code, re.compile(words, re.IGNORECASE)) for code, words in _WORDS)
_TROUBLE: Final = re.compile(r"fail|error|denied|exceeded|reached|notready|readinessunknown", re.IGNORECASE)


def code_of(reason: str, message: str) -> FailureCode:
    """The code for a reason and its words; Internal where they name nothing that is known."""
    text = f"{reason} {message}"
    return next((code for code, pattern in _PATTERNS if pattern.search(text)), FailureCode.INTERNAL)


def is_trouble(status: str, reason: str) -> bool:
    """Whether a condition tells of a failure, rather than of a step that is not done yet.

    A reason that says neither is taken for a step: a claim that will come must not be given up for a new word.
    """
    if status == "True":
        return False
    return status == "False" or bool(_TROUBLE.search(reason)) or code_of(reason, "") is not FailureCode.INTERNAL


def words(reason: str, message: str) -> str:
    """Reason and message in one line, as the controller wrote them."""
    return f"{reason}: {message}" if reason and message else message or reason or "no reason given"

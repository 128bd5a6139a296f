"""What an answer of Azure's means. Pure: it reads the error's JSON, whatever its shape, and finds the code in it.

ARM nests errors: the outer code often says no more than that a deployment failed. So all codes are looked at,
also those that are only named in a message, and the first that is known decides. Codes are from Azure's pages on
deployment errors and AKS troubleshooting, and from error texts in public issues.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from services.chassis.kube import JsonObject, dig_dict, dig_dicts, dig_str
from services.contracts.base import Contract
from services.contracts.errors import FailureCode

LONGEST: Final = 1500
"""Characters of the cloud's text that are kept."""

_CODES: Final = {
    FailureCode.QUOTA_EXCEEDED: (
        "QuotaExceeded ErrCode_InsufficientVCPUQuota InsufficientVCPUQuota ResourceQuotaExceeded"
        " PublicIPCountLimitReached MaxAgentPoolCountReached"
    ),
    FailureCode.INSUFFICIENT_CAPACITY: (
        "SkuNotAvailable AllocationFailed ZonalAllocationFailed OverconstrainedAllocationRequest"
        " OverconstrainedZonalAllocationRequest SubnetIsFull InsufficientSubnetSize"
    ),
    FailureCode.UNAUTHORIZED: (
        "AuthorizationFailed LinkedAuthorizationFailed AuthenticationFailed InvalidAuthenticationToken"
        " InvalidAuthenticationTokenTenant InvalidAuthenticationTokenAudience ExpiredAuthenticationToken"
        " AuthenticationFailedInvalidHeader ReadOnlyDisabledSubscription ScopeLocked"
        " invalid_client unauthorized_client invalid_grant MissingSubscriptionRegistration"
    ),
    FailureCode.THROTTLED: (
        "TooManyRequests SubscriptionRequestsThrottled ResourceRequestsThrottled ResourceCollectionRequestsThrottled"
        " RequestThrottled OperationPreempted"
    ),
    FailureCode.INVALID_REQUEST: (
        "RequestDisallowedByPolicy RequestDisallowedByAzure LocationNotAvailableForResourceType InvalidParameter"
        " InvalidTemplateDeployment VMSizeNotSupported AvailabilityZoneNotSupported SubnetNotFound"
        " NodePoolMcVersionIncompatible UnsupportedVMSize NoRegisteredProviderFound"
    ),
    FailureCode.NOT_FOUND: (
        "ResourceNotFound ParentResourceNotFound ResourceGroupNotFound SubscriptionNotFound NotFound"
    ),
    FailureCode.TIMEOUT: "GatewayTimeout OperationTimedOut RequestTimeout VMExtensionProvisioningTimeout",
}
_BY_CODE: Final = {name.lower(): code for code, names in _CODES.items() for name in names.split()}
_VAGUE: Final = frozenset({"invalidtemplatedeployment", "invalidparameter", "notfound"})
"""Codes that stand for what is below them, if that is known."""
_BY_STATUS: Final = {
    401: FailureCode.UNAUTHORIZED,
    403: FailureCode.UNAUTHORIZED,
    404: FailureCode.NOT_FOUND,
    408: FailureCode.TIMEOUT,
    409: FailureCode.INTERNAL,
    412: FailureCode.INTERNAL,
    429: FailureCode.THROTTLED,
    504: FailureCode.TIMEOUT,
}
PARENT_MISSING: Final = frozenset({"parentresourcenotfound", "resourcegroupnotfound", "subscriptionnotfound"})

_URL: Final = re.compile(r"https?://\S+")
_NAMED: Final = re.compile(r"(?:\bsub)?code(?:\\*\"|\\*')?\s*[:=]\s*(?:\\*[\"'])?([A-Za-z_]\w+)", re.IGNORECASE)
_QUOTA: Final = re.compile(r"exceed\w*\b.{0,80}\bquota|insufficient\b.{0,40}\bquota|quota\b.{0,40}\b(?:exceed|reach)",
                           re.IGNORECASE | re.DOTALL)  # fmt: skip
_NO_ROOM: Final = re.compile(r"not have enough capacity for \d+ IP|exceeds IPs available", re.IGNORECASE)
_BUSY: Final = re.compile(r"\boperation\b.{0,120}\bin[ -]progress", re.IGNORECASE | re.DOTALL)
_BUSY_CODES: Final = frozenset({"anotheroperationinprogress", "operationinprogress"})
_AGAIN: Final = re.compile(r"(?:retry|try)(?: again)? (?:in|after) (\d+) ?s", re.IGNORECASE)


class Refusal(Contract):
    """An error as Azure tells it: its codes from the outermost in, and its text."""

    codes: tuple[str, ...] = ()
    text: str = ""

    @property
    def busy(self) -> bool:
        """Whether Azure is still at work on what was asked for before."""
        return self.codes_in(_BUSY_CODES) or bool(_BUSY.search(self.text))

    @property
    def retry_after(self) -> float | None:
        """Seconds to wait that the text names."""
        found = _AGAIN.search(self.text)
        return float(found.group(1)) if found else None

    def codes_in(self, names: frozenset[str]) -> bool:
        """Whether one of the codes is among `names`, which are in lower case."""
        return any(code.lower() in names for code in self.codes)

    def code(self, status: int | None = None) -> FailureCode:
        """What it means for the loop. `status` is that of HTTP, for errors whose codes are not known."""
        found = [name for code in self.codes if (name := code.lower()) in _BY_CODE]
        exact = [name for name in found if name not in _VAGUE]
        if exact:
            return _BY_CODE[exact[0]]
        words = _URL.sub("", self.text)
        if _QUOTA.search(words):
            return FailureCode.QUOTA_EXCEEDED
        if _NO_ROOM.search(words):
            return FailureCode.INSUFFICIENT_CAPACITY
        return _BY_CODE[found[0]] if found else _of_status(status)


def read(body: object, fallback: str = "") -> Refusal:
    """An error's JSON: {"error": {...}} as ARM writes it, {...} as AKS does, or that of the token endpoint."""
    errors = list(_errors(body)) if isinstance(body, dict) else []
    said = [text for error in errors if (text := _text(error))]
    # An outer message often repeats the inner ones.
    kept = [text for i, text in enumerate(said) if not any(text in other for other in said[:i])]
    text = "; ".join(kept) or fallback
    own = [code for error in errors if (code := _code(error))]
    named = _NAMED.findall(text)
    return Refusal(codes=tuple(dict.fromkeys([*own, *named])), text=text[:LONGEST])


def _errors(body: JsonObject) -> Iterator[JsonObject]:
    """The error and those below it, outermost first."""
    top = dig_dict(body, "error") or body
    yield top
    for inner in dig_dicts(top, "details"):
        yield from _errors(inner)
    if inner := dig_dict(top, "innererror"):
        yield from _errors(inner)


def _code(error: JsonObject) -> str:
    own = dig_str(error, "code") or dig_str(error, "error")
    sub = dig_str(error, "subcode")
    return sub if sub.lower() in _BY_CODE else own


def _text(error: JsonObject) -> str:
    code, message = _code(error), dig_str(error, "message") or dig_str(error, "error_description")
    message = " ".join(message.split())
    return f"{code}: {message}" if code and message and not message.startswith(code) else message or code


def _of_status(status: int | None) -> FailureCode:
    if status in _BY_STATUS:
        return _BY_STATUS[status]
    return FailureCode.INVALID_REQUEST if status is not None and 400 <= status < 500 else FailureCode.INTERNAL

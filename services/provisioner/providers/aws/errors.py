"""AWS's errors as ours: which code stands for what, with AWS's own words kept.

The names are those of the EKS and EC2 API references (common errors, each operation's errors, EC2 error codes)
and of the SDK's `NodegroupIssueCode`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectTimeoutError,
    CredentialRetrievalError,
    NoAuthTokenError,
    NoCredentialsError,
    NoRegionError,
    ParamValidationError,
    PartialCredentialsError,
    ReadTimeoutError,
    TokenRetrievalError,
    UnauthorizedSSOTokenError,
)
from botocore.parsers import ResponseParserError
from pydantic import TypeAdapter, ValidationError

from services.contracts.errors import FailureCode, ProviderError

SDK_ERRORS: Final = (BotoCoreError, ClientError, ResponseParserError)
"""All that the SDK raises. The parser's error (an answer that is none of AWS's) has no base with the others."""

IN_USE: Final = "ResourceInUseException"
MISSING: Final = "ResourceNotFoundException"

_BY_CODE: Final[Mapping[FailureCode, tuple[str, ...]]] = {
    FailureCode.QUOTA_EXCEEDED: ("ResourceLimitExceededException", "VcpuLimitExceeded", "InstanceLimitExceeded",
                                 "MaxSpotInstanceCountExceeded", "LimitExceeded", "LimitExceededException"),
    FailureCode.INSUFFICIENT_CAPACITY: ("InsufficientInstanceCapacity", "InsufficientCapacity", "UnfulfillableCapacity",
                                        "InsufficientHostCapacity", "InsufficientFreeAddressesInSubnet",
                                        "SpotMaxPriceTooLow"),
    FailureCode.UNAUTHORIZED: ("AccessDeniedException", "AccessDenied", "UnauthorizedOperation", "AuthFailure",
                               "ExpiredToken", "ExpiredTokenException", "RequestExpired", "UnrecognizedClientException",
                               "InvalidClientTokenId", "InvalidSignatureException", "SignatureDoesNotMatch",
                               "IncompleteSignature", "MissingAuthenticationToken",
                               "MissingAuthenticationTokenException", "InvalidIdentityToken", "OptInRequired"),
    FailureCode.INVALID_REQUEST: ("InvalidParameterException", "InvalidRequestException", "ValidationException",
                                  "ValidationError", "UnsupportedAvailabilityZoneException", "InvalidParameterValue",
                                  "InvalidParameterCombination", "Unsupported", "UnsupportedOperation"),
    FailureCode.THROTTLED: ("ThrottlingException", "Throttling", "ThrottledException", "TooManyRequestsException",
                            "RequestThrottled", "RequestThrottledException", "RequestLimitExceeded", "SlowDown"),
    FailureCode.NOT_FOUND: (MISSING, "NotFoundException"),
    FailureCode.INTERNAL: (IN_USE, "ServerException", "ServiceUnavailableException", "ServiceUnavailable",
                           "InternalFailure", "InternalError", "InternalServerError", "Unavailable"),
}  # fmt: skip
_CODES: Final = {name: code for code, names in _BY_CODE.items() for name in names}
_BY_STATUS: Final = {401: FailureCode.UNAUTHORIZED, 403: FailureCode.UNAUTHORIZED, 404: FailureCode.NOT_FOUND,
                     408: FailureCode.TIMEOUT, 429: FailureCode.THROTTLED}  # fmt: skip
_CREDENTIALS: Final = (NoCredentialsError, PartialCredentialsError, CredentialRetrievalError, TokenRetrievalError,
                       UnauthorizedSSOTokenError, NoAuthTokenError)  # fmt: skip


class AwsError(ProviderError):
    """A `ProviderError` that still knows AWS's own name of it; empty where the answer was none of AWS's."""

    def __init__(self, code: FailureCode, message: str, name: str = "", retry_after: float | None = None) -> None:
        super().__init__(code, message, retry_after=retry_after)
        self.name = name


def code_of(name: str, status: int = 0) -> FailureCode:
    """The code that stands for one of AWS's names; for a name that is not known its HTTP status decides."""
    if name in _CODES:
        return _CODES[name]
    if status in _BY_STATUS:
        return _BY_STATUS[status]
    return FailureCode.INVALID_REQUEST if 400 <= status < 500 else FailureCode.INTERNAL


def mentioned(text: str) -> FailureCode | None:
    """The code of an EC2 error that a longer text repeats, as Auto Scaling's and EKS's do."""
    words = text.replace("-", " ").replace(".", " ").replace(":", " ").replace(",", " ").split()
    return next((_CODES[word] for word in words if word in _CODES), None)


def as_provider_error(error: Exception) -> AwsError:
    """What the SDK has raised, as an error of ours."""
    if isinstance(error, ClientError):
        return _answered(error.response)
    text = str(error)
    if isinstance(error, _CREDENTIALS):
        return AwsError(FailureCode.UNAUTHORIZED, f"the AWS SDK has no usable credentials: {text}")
    if isinstance(error, (ConnectTimeoutError, ReadTimeoutError)):
        return AwsError(FailureCode.TIMEOUT, text)
    if isinstance(error, NoRegionError):
        return AwsError(FailureCode.INVALID_REQUEST, f"{text} Set AWS_REGION for the provisioner.")
    if isinstance(error, ParamValidationError):
        return AwsError(FailureCode.INVALID_REQUEST, text)
    return AwsError(FailureCode.INTERNAL, text.partition("\n")[0][:500])


def _answered(response: Mapping[str, object]) -> AwsError:
    """An error that AWS has answered with."""
    metadata = _as_dict(response.get("ResponseMetadata"))
    found = _as_dict(response.get("Error"))
    name, text = str(found.get("Code", "")), _without_secrets(str(found.get("Message") or "no message"))
    status = metadata.get("HTTPStatusCode")
    code = code_of(name, status if isinstance(status, int) else 0)
    return AwsError(code, f"{text} ({name})", name, _seconds(_as_dict(metadata.get("HTTPHeaders")).get("retry-after")))


def _without_secrets(text: str) -> str:
    """In one line. A refused signature is answered with what was signed, which may hold the session's token."""
    return " ".join(text.partition("The Canonical String")[0].split())[:1000]


def _seconds(text: object) -> float | None:
    """A Retry-After in seconds; a date is left out, because AWS sends none."""
    return float(text) if isinstance(text, str) and text.isdigit() else None


def _as_dict(value: object) -> dict[str, object]:
    try:
        return TypeAdapter(dict[str, object]).validate_python(value)
    except ValidationError:
        return {}

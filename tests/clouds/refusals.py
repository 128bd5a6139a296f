"""What a cloud may refuse, as Azure and as AWS say it, and what the user must be told of it."""

from __future__ import annotations

from typing import Final, NamedTuple

from services.contracts.errors import FailureCode
from tests.azure_arm.script import Play
from tests.azure_arm.server import AzureArm
from tests.integration.aws_front import SILENCE, AwsFront, Reply, eks_error, typed_error

CALL_SECONDS: Final = 2
"""A silent cloud is given up after so long."""


class OfAzure(NamedTuple):
    """The call that is answered so, and the words that the user must see; no answer at all without a status."""

    call: str
    words: str
    code: str = ""
    status: int | None = None

    def play(self, arm: AzureArm) -> None:
        """From now on it is refused so."""
        body: dict[str, object] = {"error": {"code": self.code, "message": self.words}}
        if self.call == "token":
            body = {"error": self.code, "error_description": self.words}
        for call in self.call.split():
            arm.script.always(call, Play(self.status, body))


class OfAws(NamedTuple):
    """The calls, as a pattern, that are answered so, and the words that the user must see."""

    calls: str
    words: str
    reply: Reply

    def play(self, front: AwsFront) -> None:
        """From now on it is refused so."""
        front.always(self.calls, self.reply)


class Refusal(NamedTuple):
    """One trouble: how each cloud shows it, and what it is told as."""

    code: FailureCode
    azure: OfAzure
    aws: OfAws
    code_of_aws: FailureCode | None = None
    """Where AWS does not tell it from another one."""

    def told_by(self, cloud: str) -> tuple[FailureCode, str]:
        """The code that stands for it, and the cloud's own words."""
        if cloud == "azure":
            return self.code, self.azure.words
        return self.code_of_aws or self.code, self.aws.words


def _eks(calls: str, name: str, words: str, status: int = 400) -> OfAws:
    return OfAws(calls, words, eks_error(name, words, status))


def _front_door(calls: str, name: str, words: str) -> OfAws:
    """Refused by what stands before all of AWS's services."""
    return OfAws(calls, words, typed_error(name, words, 403))


_CREATE, _ANY = "POST /clusters", "/node-groups"

REFUSALS: Final = {
    "credentials": Refusal(
        FailureCode.UNAUTHORIZED,
        OfAzure("token", "AADSTS7000215: Invalid client secret provided", "invalid_client", 401),
        _front_door(_ANY, "UnrecognizedClientException", "The security token included in the request is invalid"),
    ),
    "permission": Refusal(
        FailureCode.UNAUTHORIZED,
        OfAzure("create", "The client does not have authorization to perform action", "AuthorizationFailed", 403),
        _front_door(_CREATE, "AccessDeniedException", "User is not authorized to perform it"),
    ),
    "cluster": Refusal(
        FailureCode.NOT_FOUND,
        OfAzure("list", "the parent resource 'nowhere' could not be found", "ParentResourceNotFound", 404),
        _eks(_ANY, "ResourceNotFoundException", "No cluster found for name: nowhere", 404),
    ),
    "region": Refusal(
        FailureCode.INVALID_REQUEST,
        OfAzure("create", "The provided location is not available", "LocationNotAvailableForResourceType", 400),
        _eks(_CREATE, "InvalidRequestException", "The supplied instance types do not exist: [g5]"),
    ),
    "quota": Refusal(
        FailureCode.QUOTA_EXCEEDED,
        OfAzure("create", "exceeding approved standardNCADSA100v4Family Cores quota", "QuotaExceeded", 400),
        _eks(_CREATE, "ResourceLimitExceededException", "limit of 30 node groups reached"),
    ),
    "capacity": Refusal(
        FailureCode.INSUFFICIENT_CAPACITY,
        OfAzure("create", "The requested size is currently not available in eastus", "SkuNotAvailable", 409),
        _eks(_CREATE, "InsufficientInstanceCapacity", "We do not have sufficient capacity"),
    ),
    "subnet": Refusal(
        FailureCode.INSUFFICIENT_CAPACITY,
        OfAzure("create", "Subnet nodes has no room for 31 addresses", "SubnetIsFull", 400),
        _eks(_CREATE, "InsufficientFreeAddressesInSubnet", "Not enough free addresses in subnet"),
    ),
    "policy": Refusal(
        FailureCode.INVALID_REQUEST,
        OfAzure("create", "was disallowed by policy 'no GPUs'", "RequestDisallowedByPolicy", 403),
        _front_door(_CREATE, "AccessDeniedException", "with an explicit deny in a service control policy"),
        code_of_aws=FailureCode.UNAUTHORIZED,
    ),
    "clock": Refusal(
        FailureCode.UNAUTHORIZED,
        OfAzure("list", "The access token is not yet valid", "InvalidAuthenticationToken", 401),
        _front_door(_ANY, "InvalidSignatureException", "Signature not yet current: 20990101"),
    ),
    "silence": Refusal(
        FailureCode.TIMEOUT,
        OfAzure("token list get create delete", "Timeout on reading data from socket"),
        OfAws(".", "Read timeout on endpoint URL", SILENCE),
    ),
}

"""What the API server answers, as a provider must say it. For providers whose cloud is the cluster itself."""

from __future__ import annotations

from services.chassis.kube import Forbidden, Invalid, KubeError
from services.contracts.errors import FailureCode, ProviderError


def refusal(error: KubeError) -> ProviderError:
    """The typed error, with the server's own words."""
    code = FailureCode.INTERNAL
    if isinstance(error, Invalid):
        code = FailureCode.INVALID_REQUEST
    elif isinstance(error, Forbidden):
        code = FailureCode.UNAUTHORIZED
    elif error.status == 429:
        code = FailureCode.THROTTLED
    return ProviderError(code, error.message, retry_after=error.retry_after)

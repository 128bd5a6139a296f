"""A demand's parameters: annotations of the workspace under the provider's name, for that provider alone. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from services.contracts.errors import FailureCode, ProviderError


def refuse_unknown(provider: str, parameters: Mapping[str, str], known: Iterable[str]) -> None:
    """Raise `ProviderError` (InvalidRequest) for a name that is not among the known: it may be a misspelt one."""
    names = sorted(known)
    unknown = sorted(parameters.keys() - set(names))
    if unknown:
        text = f"{provider}.kaito.sh/{unknown[0]}: is not known; there are {', '.join(names)}"
        raise ProviderError(FailureCode.INVALID_REQUEST, text)

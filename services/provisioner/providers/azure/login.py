"""Getting tokens. A token endpoint that is in trouble must not be taken for a wrong secret.

`DefaultAzureCredential` tries several ways to log in, and raises one and the same error for whatever went wrong, in a
long text with links. So what Microsoft Entra ID has answered is read where it arrives.
"""

from __future__ import annotations

import json
from contextvars import ContextVar
from types import TracebackType
from typing import Final

from azure.core.credentials import AccessToken
from azure.core.credentials_async import AsyncTokenCredential
from azure.core.exceptions import AzureError, ServiceRequestTimeoutError, ServiceResponseTimeoutError
from azure.core.pipeline.transport import AioHttpTransport
from azure.core.rest import AsyncHttpResponse, HttpRequest
from azure.identity.aio import DefaultAzureCredential

from services.contracts.errors import FailureCode, ProviderError
from services.provisioner.providers.azure.connections import transport
from services.provisioner.providers.azure.refusal import read
from services.provisioner.providers.azure.settings import AzureSettings
from services.provisioner.providers.azure.translate import line, retry_after, words

_PASSING: Final = frozenset({"temporarily_unavailable", "server_error"})
"""Errors of OAuth 2.0 (RFC 6749, 4.1.2.1) that pass by themselves, whatever the status they come with."""
_CODES: Final = {408: FailureCode.TIMEOUT, 429: FailureCode.THROTTLED, 504: FailureCode.TIMEOUT}
_TROUBLE: Final[ContextVar[list[ProviderError] | None]] = ContextVar("trouble", default=None)
"""What passes by itself and has befallen the login that is going on."""


def credential(settings: AzureSettings) -> AsyncTokenCredential:
    """Workload identity, managed identity, a service principal in AZURE_*, or the login of the `az` command."""
    return Login(
        DefaultAzureCredential(
            authority=settings.authority,
            exclude_shared_token_cache_credential=True,
            exclude_visual_studio_code_credential=True,
            exclude_powershell_credential=True,
            exclude_developer_cli_credential=True,
            transport=transport(settings, Listening),
            retry_total=0,
        )
    )


class Login(AsyncTokenCredential):
    """Another credential, whose failure is told as trouble that passes if that is what the token endpoint said."""

    def __init__(self, chain: AsyncTokenCredential) -> None:
        self._chain = chain

    async def get_token(
        self,
        *scopes: str,
        claims: str | None = None,
        tenant_id: str | None = None,
        enable_cae: bool = False,
        **kwargs: object,
    ) -> AccessToken:
        """As the other's. Raises `ProviderError` for trouble that passes, and what the SDK raises for all else."""
        befell: list[ProviderError] = []
        outer = _TROUBLE.set(befell)
        try:
            return await self._chain.get_token(
                *scopes, claims=claims, tenant_id=tenant_id, enable_cae=enable_cae, **kwargs
            )
        except AzureError as error:
            if befell:
                raise befell[-1] from error
            raise
        finally:
            _TROUBLE.reset(outer)

    async def close(self) -> None:
        """Close the connections."""
        await self._chain.close()

    async def __aenter__(self) -> Login:
        await self._chain.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None = None,
        error: BaseException | None = None,
        trace: TracebackType | None = None,
    ) -> None:
        await self._chain.__aexit__(kind, error, trace)


class Listening(AioHttpTransport):  # type: ignore[misc]  # the SDK brings it lazily, without its type
    """Connections of a login that take note of trouble.

    Entra is posted to. What is got is asked of this machine's surroundings, which tell of managed identities: that
    nothing answers there is no trouble, but means that there are none.
    """

    async def send(self, request: HttpRequest, **kwargs: object) -> AsyncHttpResponse:
        """As the other's."""
        befell = _TROUBLE.get()
        try:
            answer: AsyncHttpResponse = await super().send(request, **kwargs)
        except AzureError as error:
            if befell is not None and request.method == "POST":
                befell.append(_away(error))
            raise
        if befell is not None and request.method == "POST" and answer.status_code >= 400:
            befell += _told(answer.status_code, dict(answer.headers), answer.text())
        return answer


def _away(error: AzureError) -> ProviderError:
    late = isinstance(error, (ServiceRequestTimeoutError, ServiceResponseTimeoutError))
    how = "did not answer the login in time" if late else "cannot be reached to log in"
    code = FailureCode.TIMEOUT if late else FailureCode.INTERNAL
    return ProviderError(code, f"Microsoft Entra ID {how}: {line(error)}")


def _told(status: int, headers: dict[str, str], text: str) -> list[ProviderError]:
    """What an answer says of trouble; nothing where it refuses for good."""
    try:
        body: object = json.loads(text)
    except ValueError:
        body = None
    said = read(body, words(text))
    if status < 500 and status not in _CODES and not said.codes_in(_PASSING):
        return []
    code = _CODES.get(status, FailureCode.INTERNAL)
    after = retry_after({name.lower(): value for name, value in headers.items()})
    return [ProviderError(code, f"Microsoft Entra ID answered {status} to the login: {said.text}", retry_after=after)]

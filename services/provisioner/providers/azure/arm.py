"""The calls to Azure Resource Manager. Each is one request: nothing is polled here, and nothing tried again.

Sizes and quota are read through the same client, for two lists that are plain JSON. azure-mgmt-compute 39.0.0 has one
module of operations and one of models, 6.5 MB of source, whatever is used of it. A process that has loaded what this
provider needs holds 96 MB; with that client 115 MB, and 195 MB where its byte code is not cached, as in an image whose
files cannot be written. Once at work it would be beyond the 120 MB that a service may hold.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from http import HTTPStatus
from typing import Final
from urllib.parse import urlsplit

from azure.core import MatchConditions
from azure.core.credentials_async import AsyncTokenCredential
from azure.core.exceptions import HttpResponseError
from azure.core.pipeline import PipelineRequest, PipelineResponse
from azure.core.pipeline.policies import AsyncRetryPolicy, SansIOHTTPPolicy
from azure.core.rest import AsyncHttpResponse, HttpRequest
from azure.mgmt.containerservice.aio import ContainerServiceClient
from azure.mgmt.containerservice.models import AgentPool, AgentPoolManagedClusterAgentPoolProfileProperties

from services.chassis.kube import JsonObject, dig, dig_dicts, dig_str
from services.contracts.errors import FailureCode, ProviderError
from services.provisioner.providers.azure.connections import transport
from services.provisioner.providers.azure.refusal import PARENT_MISSING
from services.provisioner.providers.azure.settings import AzureSettings
from services.provisioner.providers.azure.translate import Refused, translated

SKUS_VERSION: Final = "2021-07-01"
USAGES_VERSION: Final = "2024-07-01"
PAGES: Final = 100
"""A list with more pages than this is taken for one that never ends."""


class OnlyHere(SansIOHTTPPolicy[HttpRequest, AsyncHttpResponse]):
    """Sends nothing, and no token, to another host that an answer points to, be it a page, an operation, a redirect."""

    def __init__(self, endpoint: str) -> None:
        self._origin = urlsplit(endpoint)[:2]

    def on_request(self, request: PipelineRequest[HttpRequest]) -> None:
        """Raises ValueError for a request that would go elsewhere."""
        if urlsplit(request.http_request.url)[:2] != self._origin:
            raise ValueError("it points to another host, which gets no token")


class Arm:
    """The agent pools of one cluster. Every method raises `ProviderError`, and nothing else."""

    def __init__(self, settings: AzureSettings, tokens: AsyncTokenCredential) -> None:
        self._settings = settings
        self._tokens = tokens
        self._client = ContainerServiceClient(
            tokens,
            settings.subscription_id,
            settings.endpoint,
            api_version=settings.api_version,
            credential_scopes=[settings.scope],
            retry_policy=AsyncRetryPolicy.no_retries(),
            per_retry_policies=[OnlyHere(settings.endpoint)],
            transport=transport(settings),
        )
        # Only ever off for an endpoint on this machine: the settings see to that.
        self._https = not settings.plain_http

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()
        await self._tokens.close()

    async def pools(self) -> tuple[AgentPool, ...]:
        """All pools of the cluster, whoever's they are."""
        with translated("list the agent pools"):
            found = self._client.agent_pools.list(
                self._settings.resource_group,
                self._settings.cluster,
                raw_response_hook=_is_a_list,
                enforce_https=self._https,
            )
            return tuple([_checked(pool) async for pool in found])

    async def get(self, name: str) -> AgentPool | None:
        """The pool; None if there is none of that name."""
        try:
            with translated("read an agent pool"):
                found = await self._client.agent_pools.get(
                    self._settings.resource_group, self._settings.cluster, name, enforce_https=self._https
                )
                return _checked(found)
        except Refused as refused:
            if _is_missing(refused):
                return None
            raise

    async def create(self, name: str, pool: AgentPool) -> tuple[AgentPool, str]:
        """Ask for a pool that must not be there yet. Returns it as accepted, and where its operation can be read.

        AKS answers 201 with the pool; ARM's rules also allow 202, which says nothing of it.
        """
        answered: list[AsyncHttpResponse] = []

        def see(response: PipelineResponse[HttpRequest, AsyncHttpResponse]) -> None:
            answered.append(response.http_response)

        with translated("create an agent pool"):
            try:
                poller = await self._client.agent_pools.begin_create_or_update(
                    self._settings.resource_group,
                    self._settings.cluster,
                    name,
                    pool,
                    match_condition=MatchConditions.IfMissing,
                    polling=False,
                    raw_response_hook=see,
                    enforce_https=self._https,
                )
                accepted = _checked(await poller.result())
            except HttpResponseError as error:
                if error.status_code != HTTPStatus.ACCEPTED:
                    raise
                accepted = pool
        return accepted, _operation_in(answered)

    async def delete(self, name: str) -> None:
        """Ask for a pool to be deleted. One that is not there is no error.

        Disruption budgets are not waited for: the loop lets go only of machines that nobody needs any more.
        """
        try:
            with translated("delete an agent pool"):
                await self._begin_delete(name)
        except Refused as refused:
            if not _is_missing(refused):
                raise

    async def _begin_delete(self, name: str) -> None:
        """AKS answers 202 or 204; ARM's rules also allow 200, which the SDK takes for an error."""
        try:
            await self._client.agent_pools.begin_delete(
                self._settings.resource_group,
                self._settings.cluster,
                name,
                ignore_pod_disruption_budget=True,
                polling=False,
                enforce_https=self._https,
            )
        except HttpResponseError as error:
            if error.status_code != HTTPStatus.OK:
                raise

    async def operation(self, url: str) -> JsonObject:
        """The state of a long-running operation: {"status": ..., "error": ...}."""
        return await self._json(url, "read an operation")

    async def skus(self) -> list[JsonObject]:
        """The resource SKUs of the region. Azure filters by place, and by nothing else."""
        url = (
            f"{self._of_compute()}/skus?api-version={SKUS_VERSION}"
            f"&$filter=location%20eq%20%27{self._settings.region}%27"
        )
        return [sku async for sku in self._pages(url, "read the machine sizes")]

    async def usages(self) -> list[JsonObject]:
        """The quota of the region, and what is used of it."""
        url = f"{self._of_compute()}/locations/{self._settings.region}/usages?api-version={USAGES_VERSION}"
        return [usage async for usage in self._pages(url, "read the quota")]

    def _of_compute(self) -> str:
        settings = self._settings
        return f"{settings.endpoint}/subscriptions/{settings.subscription_id}/providers/Microsoft.Compute"

    async def _pages(self, url: str, what: str) -> AsyncIterator[JsonObject]:
        for _ in range(PAGES):
            page = await self._json(url, what)
            for item in dig_dicts(page, "value"):
                yield item
            url = dig_str(page, "nextLink")
            if not url:
                return
        raise ProviderError(FailureCode.INTERNAL, f"Azure's answer to {what} has more than {PAGES} pages")

    async def _json(self, url: str, what: str) -> JsonObject:
        with translated(what):
            response = await self._client.send_request(HttpRequest("GET", url), enforce_https=self._https)
            if not 200 <= response.status_code < 300:
                raise HttpResponseError(response=response)
            found = response.json()
            if not isinstance(found, dict):
                raise TypeError("no JSON object")
            return found


def _operation_in(answered: list[AsyncHttpResponse]) -> str:
    """Where the last answer says that its operation can be followed."""
    headers = answered[-1].headers if answered else {}
    return headers.get("Azure-AsyncOperation") or headers.get("Location") or ""


def _is_a_list(response: PipelineResponse[HttpRequest, AsyncHttpResponse]) -> None:
    """An answer without a list must not pass for one that is empty. Raises TypeError."""
    answer = response.http_response
    if answer.status_code == HTTPStatus.OK and not isinstance(dig(answer.json(), "value"), list):
        raise TypeError("no list")


def _checked(pool: object) -> AgentPool:
    """The SDK believes whatever JSON comes; a proxy's page, or half an answer, must not pass for a pool."""
    properties = pool.properties if isinstance(pool, AgentPool) else None
    if not isinstance(pool, AgentPool) or not isinstance(properties, AgentPoolManagedClusterAgentPoolProfileProperties):
        raise TypeError("an agent pool without properties")
    if not isinstance(pool.name, str) or not isinstance(properties.tags or {}, Mapping):
        raise TypeError("an agent pool without a name, or with tags that are none")
    return pool


def _is_missing(refused: Refused) -> bool:
    """Whether the pool itself is missing, and not what it would be in."""
    return refused.status == 404 and not refused.refusal.codes_in(PARENT_MISSING)

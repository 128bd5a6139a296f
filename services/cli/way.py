"""The way to a model: straight to its port on this machine, or through the API server from anywhere."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Protocol

import aiohttp

from services.chassis.kube.errors import KubeError
from services.chassis.kube.objects import SECRETS, SERVICES, ObjectRef, dig_str
from services.chassis.kube.transport import Request
from services.cli.connect import Cluster, cluster_sentence
from services.cli.errors import CliError
from services.cli.workspaces import WorkspaceView, first_failing
from services.contracts.conditions import ConditionType
from services.contracts.serving import SECRET_KEY_API_KEY

ADDRESSES = "local.kaito.sh/addresses"
"""Annotation of a Service: a JSON object from its ports to where they are reached on the node's machine."""

PORT = "80"
FIRST_BYTE_SECONDS = 120.0
"""How long the first answer may take: a large prompt is read in whole before it."""


class Way(Protocol):
    """Sends one HTTP request to the model's server."""

    def open(
        self, method: str, path: str, body: object | None = None
    ) -> AbstractAsyncContextManager[aiohttp.ClientResponse]:
        """The response, its body still to be read. Raises CliError where there is none."""
        ...


class Direct:
    """Over a port of this machine."""

    def __init__(self, address: str, key: str | None = None) -> None:
        self.url = f"http://{address}"
        self._headers = {"Authorization": f"Bearer {key}"} if key else {}

    @asynccontextmanager
    async def open(self, method: str, path: str, body: object | None = None) -> AsyncIterator[aiohttp.ClientResponse]:
        """As `Way.open`."""
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=5, sock_read=FIRST_BYTE_SECONDS)
        try:
            async with (
                aiohttp.ClientSession(timeout=timeout) as session,
                session.request(method, self.url + path, json=body, headers=self._headers) as response,
            ):
                if response.status >= 400:
                    raise CliError(f"The model's server refused: {_message(await response.text())}")
                yield response
        except (aiohttp.ClientError, TimeoutError) as error:
            what = str(error) or type(error).__name__
            raise CliError(f"The model at {self.url} does not answer: {what}.") from error


class Proxied:
    """Through the API server's service proxy, with the rights of the kubeconfig.

    The API server keeps `Authorization` for itself, so the model's key goes in a header of its own.
    """

    def __init__(self, cluster: Cluster, namespace: str, service: str, key: str | None = None) -> None:
        self._cluster = cluster
        self._headers = {"X-API-Key": key} if key else {}
        self._prefix = f"{SERVICES.path(namespace)}/{service}:{PORT}/proxy"

    @asynccontextmanager
    async def open(self, method: str, path: str, body: object | None = None) -> AsyncIterator[aiohttp.ClientResponse]:
        """As `Way.open`."""
        request = Request(method, self._prefix + path, {}, body, headers=self._headers)
        try:
            async with self._cluster.transport.open(request, FIRST_BYTE_SECONDS) as response:
                yield response
        except KubeError as error:
            raise CliError(cluster_sentence(error)) from error


async def find_way(cluster: Cluster, workspace: WorkspaceView) -> Way:
    """The way to a ready Workspace's model. Raises CliError where nothing answers there, and says why."""
    check_answers(workspace)
    service = await cluster.kube.get(ObjectRef(SERVICES, workspace.name, workspace.namespace))
    if service is None:
        raise CliError(f"Workspace {workspace.name} has no Service yet. kaitobus why {workspace.name} says more.")
    key = await _key(cluster, workspace)
    address = local_address(dig_str(service, "metadata", "annotations", ADDRESSES))
    if address and await _is_open(address):
        return Direct(address, key)
    return Proxied(cluster, workspace.namespace, workspace.name, key)


async def _key(cluster: Cluster, workspace: WorkspaceView) -> str | None:
    """The key of the model's server; None where it has none, or we may not read it: then the server says so."""
    plan = workspace.status.plan
    secret = plan.serving.api_key_secret if plan else None
    if secret is None:
        return None
    try:
        found = await cluster.kube.get(ObjectRef(SECRETS, secret, workspace.namespace))
        return base64.b64decode(dig_str(found, "data", SECRET_KEY_API_KEY)).decode() or None
    except (KubeError, ValueError):
        return None


def check_answers(workspace: WorkspaceView) -> None:
    """Raise CliError, with the reason, where no model can answer."""
    name = workspace.name
    if workspace.simulated:
        raise CliError(f"Workspace {name} is simulated: no model stands behind it, so nothing answers.")
    if not workspace.status.is_true(ConditionType.INFERENCE_READY):
        failing = first_failing(workspace.status)
        reason = f" ({failing.reason})" if failing else ""
        raise CliError(f"Workspace {name} is not ready{reason}. kaitobus why {name} says what it waits for.")


def local_address(annotation: str) -> str | None:
    """The address of port 80 in the annotation, if it is on this machine as far as it says."""
    try:
        found: object = json.loads(annotation)
    except ValueError:
        return None
    address = found.get(PORT) if isinstance(found, dict) else None
    return address if isinstance(address, str) and address.startswith("127.0.0.1:") else None


async def _is_open(address: str) -> bool:
    """Whether something serves a model there: on another machine than the node's, nothing or something else does."""
    try:
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=3)) as session,
            session.get(f"http://{address}/v1/models") as response,
        ):
            return response.status in (200, 401)  # a server with a key does not know us here
    except (aiohttp.ClientError, TimeoutError):
        return False


def _message(body: str) -> str:
    """The sentence in an error as OpenAI's interface writes it."""
    try:
        parsed: object = json.loads(body)
    except ValueError:
        return body[:300]
    return dig_str(parsed, "error", "message") or dig_str(parsed, "message") or body[:300]

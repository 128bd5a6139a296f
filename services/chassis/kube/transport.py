"""HTTP to the API server through `kubernetes.aio`: its configuration, TLS, authentication and session.

The one module that touches the library, which carries no types for what is used here. Importing it costs about
14 MB on top of aiohttp: `kubernetes/__init__` imports the synchronous client too, and there is no way around it.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import time
from collections.abc import AsyncIterator, Mapping
from ipaddress import ip_address
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple
from urllib.parse import urlencode, urlsplit
from urllib.request import getproxies

import aiohttp
import yaml
from kubernetes.aio.client import ApiClient, Configuration
from kubernetes.aio.config import ConfigException, load_incluster_config, load_kube_config

from services.chassis.kube.errors import BadKubeconfig, Unreachable, error_from_response

SERVICE_ACCOUNT_TOKEN = Path("/var/run/secrets/kubernetes.io/serviceaccount/token")
REAUTHENTICATE_EVERY = 30.0
"""Seconds: a 401 makes the credentials be read anew, at most this often."""

CONNECTIONS = 24
"""Connections to the API server, watches included; further calls wait for one. Opening one costs more than a call."""
PLUGIN_TIMEOUT = 60.0
"""Seconds for an exec plugin of a kubeconfig to give a token; it may be asking a person to log in."""


class Request(NamedTuple):
    """One call: `body` is sent as JSON. `content_type` matters for patches.

    `headers` are for whoever answers behind the API server's proxy.
    """

    method: str
    path: str
    query: Mapping[str, str]
    body: object | None = None
    content_type: str = "application/json"
    headers: Mapping[str, str] = MappingProxyType({})


class Transport:
    """A pool of connections to one API server, with credentials that are read again when refused."""

    def __init__(self, api: ApiClient, kubeconfig: str | None) -> None:
        self._api = api
        self._kubeconfig = kubeconfig
        self._reauthenticated = float("-inf")
        self._lock = asyncio.Lock()

    @classmethod
    async def connect(cls, kubeconfig: str | None) -> Transport:
        """Read the configuration. The server is not called, so it may still be down.

        Raises:
            BadKubeconfig: no configuration was found, or it cannot be used.
        """
        configuration = await _load(kubeconfig)
        try:
            return cls(ApiClient(configuration=configuration), kubeconfig)
        except (OSError, ValueError) as error:
            raise BadKubeconfig(f"the certificates of the kubeconfig cannot be used: {error}") from error

    async def close(self) -> None:
        """Close all connections."""
        await self._api.close()

    @contextlib.asynccontextmanager
    async def open(self, request: Request, timeout: float) -> AsyncIterator[aiohttp.ClientResponse]:
        """Send a request and hand out the response once its headers are there. `timeout` covers up to then.

        Raises:
            Unreachable: no answer in time, also when the connection breaks while the body is read.
            KubeError: the server refused; the subclass says how.
        """
        try:
            async with asyncio.timeout(timeout):
                response = await self._send(request)
                if response.status == 401 and await self._reauthenticate():
                    response.release()
                    response = await self._send(request)
        except (aiohttp.ClientError, OSError) as error:
            raise self._unreachable(error) from error
        try:
            if response.status >= 400:
                async with asyncio.timeout(timeout):
                    body = await response.read()
                raise error_from_response(response.status, body, response.headers.get("Retry-After"))
            yield response
        except (aiohttp.ClientError, ConnectionError) as error:
            raise self._unreachable(error) from error
        finally:
            response.close() if not response.content.is_eof() else response.release()

    async def _send(self, request: Request) -> aiohttp.ClientResponse:
        headers = {
            **request.headers,
            "Accept": "application/json",
            "Content-Type": request.content_type,
            "User-Agent": "kaitobus",
        }
        settings = await self._api.configuration.auth_settings()
        if "BearerToken" in settings:
            headers["Authorization"] = settings["BearerToken"]["value"]
        url = f"{self._api.configuration.host}{request.path}"
        if request.query:
            url += f"?{urlencode(request.query)}"
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=10)
        answer = await self._api.rest_client.request(
            request.method, url, headers=headers, body=request.body, _request_timeout=timeout
        )
        response: aiohttp.ClientResponse = answer.response
        return response

    async def _reauthenticate(self) -> bool:
        """Read the token anew (tokens rotate, exec plugins hand out short-lived ones); False if just done.

        A client certificate from an exec plugin is not renewed: it is part of the TLS context.
        """
        async with self._lock:
            if time.monotonic() - self._reauthenticated < REAUTHENTICATE_EVERY:
                return False
            self._reauthenticated = time.monotonic()
            fresh = await _load(self._kubeconfig)
            self._api.configuration.api_key = fresh.api_key
            return True

    def _unreachable(self, error: Exception) -> Unreachable:
        what = "no answer in time" if isinstance(error, TimeoutError) else str(error) or type(error).__name__
        return Unreachable(f"the API server at {self._api.configuration.host} cannot be reached: {what}")


async def read_json(response: aiohttp.ClientResponse) -> dict[str, object]:
    """The JSON object in a response's body; an empty one when the body is none."""
    try:
        parsed: object = json.loads(await response.read())
    except ValueError:
        return {}
    return parsed if isinstance(parsed, dict) else {}


async def _load(kubeconfig: str | None) -> Configuration:
    """The configuration named, else $KUBECONFIG, else the pod's service account, else ~/.kube/config."""
    configuration = Configuration(connection_pool_maxsize=CONNECTIONS)
    named = kubeconfig or os.environ.get("KUBECONFIG")
    try:
        if not named and "KUBERNETES_SERVICE_HOST" in os.environ and SERVICE_ACCOUNT_TOKEN.exists():
            load_incluster_config(client_configuration=configuration)
        else:
            path = _existing(named or str(Path("~/.kube/config").expanduser()))
            async with asyncio.timeout(PLUGIN_TIMEOUT):
                await load_kube_config(path, client_configuration=configuration, persist_config=False)
    except (ConfigException, yaml.YAMLError, OSError, ValueError, TypeError, AttributeError) as error:
        raise BadKubeconfig(f"the kubeconfig {named or '~/.kube/config'} cannot be used: {error}") from error
    if not asks_for_proxy(configuration.host, getproxies()):
        configuration.client_session_kwargs = {"trust_env": False}
    return configuration


def asks_for_proxy(url: str, proxies: Mapping[str, str]) -> bool:
    """Whether aiohttp is to look for a proxy in the environment. It does so in a thread, twice for each call.

    As Go's clients do, it is not asked for addresses on this machine.
    """
    return bool(proxies) and not _is_loopback(url)


def _existing(paths: str) -> str:
    """`paths` (joined by ":" as in $KUBECONFIG), if at least one is a file."""
    if any(Path(path).expanduser().is_file() for path in paths.split(os.pathsep) if path):
        return paths
    raise BadKubeconfig(f"there is no kubeconfig at {paths}; set KUBECONFIG to one, or run inside a cluster")


def _is_loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False

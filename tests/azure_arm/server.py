"""The HTTP side: Azure Resource Manager, the token endpoint, and the API server that shows the pools' nodes."""

from __future__ import annotations

import json
import ssl
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from aiohttp import web
from aiohttp.test_utils import TestServer

from tests.azure_arm.script import Script
from tests.azure_arm.state import JsonObject, Pool, State

SUBSCRIPTION = "11111111-2222-3333-4444-555555555555"
GROUP = "rg"
CLUSTER = "aks"
REGION = "eastus"
SECRET = "right-secret"
TOKEN = "token-of-the-emulator"

_COMPUTE = f"/subscriptions/{SUBSCRIPTION}/providers/Microsoft.Compute"
_CLUSTERS = (
    f"/subscriptions/{SUBSCRIPTION}/resourceGroups/{{group}}/providers/Microsoft.ContainerService/managedClusters"
)
_POOLS = f"{_CLUSTERS}/{{cluster}}/agentPools"

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Seen(NamedTuple):
    """A call that came in."""

    kind: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: JsonObject
    peer: object
    """Where the connection comes from: another one, another port."""


class AzureArm:
    """Keeps state; `script` makes it misbehave, `state` makes it move on."""

    def __init__(self) -> None:
        self.state = State()
        self.script = Script()
        self.seen: list[Seen] = []
        self.skus: list[JsonObject] = []
        self.usages: list[JsonObject] = []
        self.page_size = 50
        self.token_seconds = 3600
        self.by_location = False
        """Creations are answered as ARM's rules also allow: 202, no body, and a Location that gives the outcome."""
        self.unlisted: set[str] = set()
        """Pools that lists do not show yet."""
        self.node_labels: JsonObject = {}
        app = web.Application()
        add = app.router.add_route
        add("POST", "/{tenant}/oauth2/v2.0/token", self._played("token", self._token))
        add("GET", "/msi/token", self._played("token", self._managed_identity))
        add("GET", _POOLS, self._played("list", self._list))
        add("GET", f"{_POOLS}/{{pool}}", self._played("get", self._get))
        add("PUT", f"{_POOLS}/{{pool}}", self._played("create", self._create))
        add("DELETE", f"{_POOLS}/{{pool}}", self._played("delete", self._delete))
        add("GET", f"/subscriptions/{SUBSCRIPTION}/operations/{{id}}", self._played("operation", self._operation))
        add("GET", f"{_COMPUTE}/skus", self._played("skus", self._skus))
        add("GET", f"{_COMPUTE}/locations/{{region}}/usages", self._played("usages", self._usages))
        add("GET", "/api/v1/nodes", self._nodes)
        self._app = app
        self._server = TestServer(app, host="127.0.0.1")

    async def start(self, tls: ssl.SSLContext | None = None) -> None:
        self._server = TestServer(self._app, host="127.0.0.1", scheme="https" if tls else "http")
        await self._server.start_server(ssl=tls)

    @property
    def url(self) -> str:
        return str(self._server.make_url("")).rstrip("/")

    async def close(self) -> None:
        self.script.close()
        await self._server.close()

    def calls(self, kind: str) -> list[Seen]:
        return [seen for seen in self.seen if seen.kind == kind]

    def _played(self, kind: str, handler: Handler) -> Handler:
        async def answer(request: web.Request) -> web.StreamResponse:
            body: JsonObject = json.loads(await request.text() or "{}") if request.method == "PUT" else {}
            self.seen.append(Seen(kind, request.path, dict(request.query), dict(request.headers), body, _peer(request)))
            if kind != "token" and request.headers.get("Authorization") != f"Bearer {TOKEN}":
                return _error(401, "InvalidAuthenticationToken", "The access token is invalid.")
            play = self.script.next(kind, f"{kind}:{_size(body)}")
            if play is None:
                return await handler(request)
            if play.after:
                await handler(request)
            return await self.script.answer(play, request)

        return answer

    async def _token(self, request: web.Request) -> web.Response:
        form = await request.post()
        if form.get("client_secret", SECRET) != SECRET or not ({"client_secret", "client_assertion"} & form.keys()):
            text = "AADSTS7000215: Invalid client secret provided."
            return web.json_response({"error": "invalid_client", "error_description": text}, status=401)
        return web.json_response({"token_type": "Bearer", "expires_in": self.token_seconds, "access_token": TOKEN})

    async def _managed_identity(self, request: web.Request) -> web.Response:
        if request.headers.get("X-IDENTITY-HEADER") != SECRET:
            return web.json_response({"statusCode": 401, "message": "wrong header"}, status=401)
        return web.json_response(
            {"token_type": "Bearer", "expires_on": "4102444800", "resource": "arm", "access_token": TOKEN}
        )

    def _no_cluster(self, request: web.Request) -> web.Response | None:
        group, cluster = request.match_info["group"], request.match_info["cluster"]
        if group != GROUP:
            return _error(404, "ResourceGroupNotFound", f"Resource group '{group}' could not be found.")
        if cluster != CLUSTER:
            text = f"Failed to perform 'read', because the parent resource '{cluster}' could not be found."
            return _error(404, "ParentResourceNotFound", text)
        return None

    async def _list(self, request: web.Request) -> web.Response:
        if refused := self._no_cluster(request):
            return refused
        listed = (pool for pool in self.state.pools.values() if pool.name not in self.unlisted)
        return self._page(request, [pool.show() for pool in listed])

    async def _get(self, request: web.Request) -> web.Response:
        if refused := self._no_cluster(request):
            return refused
        pool = self.state.pools.get(request.match_info["pool"])
        if pool is None:
            return _flat(404, "NotFound", "Could not find the agent pool.")
        return web.json_response(pool.show())

    async def _create(self, request: web.Request) -> web.Response:
        if refused := self._no_cluster(request):
            return refused
        name = request.match_info["pool"]
        if name in self.state.pools and request.headers.get("If-None-Match") == "*":
            return _flat(412, "PreconditionFailed", "The agent pool exists already.")
        if name in self.state.pools and self.state.pools[name].state in ("Creating", "Deleting"):
            return self._busy(self.state.pools[name])
        pool = self.state.pools[name] = Pool(request.path, name, self.seen[-1].body)
        headers = self._follow(pool)
        if self.by_location:
            return web.Response(status=202, headers={"Location": headers["Azure-AsyncOperation"]})
        return web.json_response(pool.show(), status=201, headers=headers)

    async def _delete(self, request: web.Request) -> web.Response:
        if refused := self._no_cluster(request):
            return refused
        pool = self.state.pools.get(request.match_info["pool"])
        if pool is None:
            return web.Response(status=204)
        if pool.state == "Deleting":
            return self._busy(pool)
        pool.properties["provisioningState"] = "Deleting"
        headers = self._follow(pool)
        return web.Response(status=202, headers=headers | {"Location": headers["Azure-AsyncOperation"]})

    def _follow(self, pool: Pool) -> dict[str, str]:
        operation = self.state.begin(pool)
        url = f"{self.url}/subscriptions/{SUBSCRIPTION}/operations/{operation}?api-version=2017-08-31"
        return {"Azure-AsyncOperation": url, "Retry-After": "10"}

    def _busy(self, pool: Pool) -> web.Response:
        what = f"Another operation ({pool.name} - {pool.state}) is in progress"
        text = f"Operation is not allowed: {what}, please wait for it to finish before starting a new operation."
        return _flat(409, "OperationNotAllowed", text)

    async def _operation(self, request: web.Request) -> web.Response:
        operation = self.state.operations[request.match_info["id"]]
        if not self.by_location:
            return web.json_response(operation)
        if operation["status"] == "InProgress":
            return web.Response(status=202, headers={"Location": str(request.url), "Retry-After": "10"})
        failed = operation["status"] == "Failed"
        return web.json_response({"error": operation["error"]} if failed else {}, status=400 if failed else 200)

    async def _skus(self, request: web.Request) -> web.Response:
        return self._page(request, self.skus)

    async def _usages(self, request: web.Request) -> web.Response:
        return self._page(request, self.usages)

    async def _nodes(self, request: web.Request) -> web.Response:
        selector = request.query.get("labelSelector", "")
        pools = [pool for pool in self.state.pools.values() if pool.node and pool.name in selector]
        items = [pool.show_node(self.node_labels) for pool in pools]
        return web.json_response({"kind": "NodeList", "metadata": {"resourceVersion": "1"}, "items": items})

    def _page(self, request: web.Request, items: list[JsonObject]) -> web.Response:
        start = int(request.query.get("$skiptoken", "0"))
        body: JsonObject = {"value": items[start : start + self.page_size]}
        if start + self.page_size < len(items):
            body["nextLink"] = str(request.url.update_query({"$skiptoken": str(start + self.page_size)}))
        return web.json_response(body)


def _peer(request: web.Request) -> object:
    return request.transport.get_extra_info("peername") if request.transport else None


def _size(body: JsonObject) -> str:
    properties = body.get("properties")
    return str(properties.get("vmSize", "")) if isinstance(properties, dict) else ""


def _error(status: int, code: str, message: str) -> web.Response:
    return web.json_response({"error": {"code": code, "message": message}}, status=status)


def _flat(status: int, code: str, message: str) -> web.Response:
    """As AKS itself answers, once Resource Manager has let a call through."""
    return web.json_response({"code": code, "details": None, "message": message, "subcode": ""}, status=status)

"""An HTTP server that answers as a script says: an API server that misbehaves on demand."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Literal, NamedTuple

from aiohttp import web
from aiohttp.test_utils import TestServer

from services.chassis.kube import CONFIGMAPS, JsonObject, KubeClient

NOBODY: Mapping[str, object] = MappingProxyType({"username": "nobody", "password": "nothing"})


class Reply(NamedTuple):
    """One answer. `then` says what follows the body: the end, silence, or a broken connection."""

    body: bytes
    status: int = 200
    headers: Mapping[str, str] = MappingProxyType({})
    then: Literal["end", "hang", "break"] = "end"


class Seen(NamedTuple):
    """A request that came in."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]


class ScriptedApiServer:
    """Answers requests with the next reply of the script that fits: one script for watches, one for the rest."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.replies: deque[Reply] = deque()
        self.watches: deque[Reply] = deque()
        self.seen: list[Seen] = []
        self._closing = asyncio.Event()

    @property
    def lists_seen(self) -> int:
        return sum("watch" not in request.query for request in self.seen)

    @property
    def watches_seen(self) -> list[str]:
        """The resourceVersion of each watch that was opened."""
        return [request.query["resourceVersion"] for request in self.seen if "watch" in request.query]

    @asynccontextmanager
    async def run(self, *, timeout: float = 5.0, user: Mapping[str, object] = NOBODY) -> AsyncIterator[KubeClient]:
        """Serve on a free port, and give a client for it."""
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._answer)
        server = TestServer(app, host="127.0.0.1")
        await server.start_server()
        try:
            path = self.write_kubeconfig(str(server.make_url("/")), user)
            async with await KubeClient.connect(str(path), timeout=timeout) as client:
                yield client
        finally:
            self._closing.set()
            await server.close()

    def write_kubeconfig(self, url: str, user: Mapping[str, object] = NOBODY) -> Path:
        path = self._folder / "kubeconfig"
        path.write_text(json.dumps(kubeconfig(url, user)))
        return path

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        query = dict(request.query)
        self.seen.append(Seen(request.method, request.path, query, dict(request.headers)))
        script = self.watches if "watch" in query else self.replies
        reply = script.popleft() if script else Reply(b"", then="hang")
        response = web.StreamResponse(status=reply.status, headers=reply.headers)
        await response.prepare(request)
        await response.write(reply.body)
        if reply.then == "hang":
            await self._closing.wait()
        if reply.then == "break" and request.transport is not None:
            request.transport.abort()
        return response


def kubeconfig(url: str, user: Mapping[str, object]) -> JsonObject:
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "it",
        "contexts": [{"name": "it", "context": {"cluster": "it", "user": "it"}}],
        "clusters": [{"name": "it", "cluster": {"server": url}}],
        "users": [{"name": "it", "user": dict(user)}],
    }


def configmap(name: str, version: int | str = 1, uid: str = "") -> JsonObject:
    metadata: JsonObject = {
        "name": name,
        "namespace": "default",
        "uid": uid or f"uid-{name}",
        "resourceVersion": str(version),
    }
    return {"apiVersion": CONFIGMAPS.api_version, "kind": CONFIGMAPS.kind, "metadata": metadata}


def listing(*objects: JsonObject, version: int | str = 1, token: str = "") -> Reply:
    return Reply(
        json.dumps({"metadata": {"resourceVersion": str(version), "continue": token}, "items": objects}).encode()
    )


def refusal(status: int, reason: str, message: str = "no", **headers: str) -> Reply:
    body = {"kind": "Status", "code": status, "reason": reason, "message": message}
    return Reply(json.dumps(body).encode(), status, {k.replace("_", "-"): v for k, v in headers.items()})


def watching(*lines: tuple[str, JsonObject], then: Literal["end", "hang", "break"] = "end") -> Reply:
    text = "".join(json.dumps({"type": kind, "object": obj}) + "\n" for kind, obj in lines)
    return Reply(text.encode(), then=then)


def expired() -> tuple[str, JsonObject]:
    """The ERROR line of a watch whose resourceVersion is too old."""
    return "ERROR", {
        "kind": "Status", "code": 410, "reason": "Expired", "message": "too old resource version"
    }  # fmt: skip

"""The node's HTTPS server: what `kubectl logs` reaches through the API server. A small part of a kubelet's."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

from aiohttp import web
from aiohttp.typedefs import Handler

from deploy.local.node.log_files import Follower, LogQuery, parse_entry, parse_query, selected
from deploy.local.node.run_files import runs
from services.chassis.kube import JsonObject

FOLLOW_EVERY_S = 0.2
MOST_READERS = 64
"""Requests that are answered at the same time; followers hold theirs for long."""
NOT_HERE = (
    "This node runs containers as processes of its machine and has no exec, attach or port-forward. "
    "Use `kubectl logs`, or look at the process on the machine itself.\n"
)


class PodLogs:
    """What the server asks of the node."""

    def __init__(self, pods_dir: Path, pods: Callable[[], Mapping[str, JsonObject]]) -> None:
        self._pods_dir = pods_dir
        self.pods = pods
        """The pods of this node, by "namespace/name"."""

    def container_dir(self, namespace: str, pod: str, container: str) -> Path:
        """Where a container's runs lie. Raises HTTPNotFound, in words for the one who asks."""
        obj = self.pods().get(f"{namespace}/{pod}")
        if obj is None:
            raise web.HTTPNotFound(text=f"pod {namespace}/{pod} is not on this node\n")
        metadata, spec = obj.get("metadata"), obj.get("spec")
        names = _container_names(spec)
        if container not in names or not isinstance(metadata, dict):
            raise web.HTTPNotFound(text=f"pod {pod} has no container {container!r}; it has {', '.join(names)}\n")
        return self._pods_dir / str(metadata["uid"]) / "containers" / container

    def log_file(self, folder: Path, *, previous: bool) -> Path | None:
        """The log of the latest run, or of the one before it; None when there was none."""
        history = runs(folder)
        index = -2 if previous else -1
        return history[index].log if len(history) >= -index else None


def _container_names(spec: object) -> list[str]:
    if not isinstance(spec, dict):
        return []
    lists = (spec.get("initContainers") or [], spec.get("containers") or [])
    return [str(one["name"]) for containers in lists for one in containers]


def make_app(logs: PodLogs, *, local_only: bool) -> web.Application:
    """The routes. `local_only`: let in only connections from this machine."""
    app = web.Application(middlewares=[_local_only] if local_only else [])
    readers = asyncio.Semaphore(MOST_READERS)

    async def container_logs(request: web.Request) -> web.StreamResponse:
        if readers.locked():
            raise web.HTTPServiceUnavailable(text="too many logs are being read from this node; try again later\n")
        async with readers:
            return await _container_logs(request, logs)

    async def pods(_: web.Request) -> web.Response:
        body = {"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": list(logs.pods().values())}
        return web.Response(text=json.dumps(body), content_type="application/json")

    app.router.add_get("/containerLogs/{namespace}/{pod}/{container}", container_logs)
    app.router.add_get("/pods", pods)
    app.router.add_get("/healthz", _healthz)
    for path in ("exec", "attach", "portForward", "run"):
        app.router.add_route("*", f"/{path}/{{rest:.*}}", _not_here)
    return app


async def _healthz(_: web.Request) -> web.Response:
    return web.Response(text="ok")


async def _not_here(_: web.Request) -> web.Response:
    return web.Response(status=501, text=NOT_HERE)


@web.middleware
async def _local_only(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Let in only who comes from one of this machine's own addresses: then both ends of the connection are alike."""
    transport = request.transport
    peer = transport.get_extra_info("peername") if transport else None
    own = transport.get_extra_info("sockname") if transport else None
    if not peer or not own or not (peer[0] == own[0] or peer[0].startswith("127.")):
        raise web.HTTPForbidden(text="this node serves logs only to its own machine\n")
    return await handler(request)


async def _container_logs(request: web.Request, logs: PodLogs) -> web.StreamResponse:
    try:
        query = parse_query(request.query, datetime.now(UTC))
    except ValueError as error:
        raise web.HTTPBadRequest(text=f"{error}\n") from error
    part = request.match_info
    folder = logs.container_dir(part["namespace"], part["pod"], part["container"])
    log = await asyncio.to_thread(logs.log_file, folder, previous=query.previous)
    if log is None:
        which = "previous terminated container" if query.previous else "container"
        raise web.HTTPBadRequest(text=f"{which} {part['container']!r} in pod {part['pod']!r} not found: it never ran\n")
    response = web.StreamResponse(headers={"Content-Type": "text/plain; charset=utf-8"})
    await response.prepare(request)
    left = query.limit_bytes
    async for chunk in _chunks(log, query):
        chunk = chunk if left is None else chunk[:left]
        await response.write(chunk)
        left = None if left is None else left - len(chunk)
        if left == 0:
            break
    return response


async def _chunks(log: Path, query: LogQuery) -> AsyncIterator[bytes]:
    """The part of the log that is asked for; with `follow`, what comes after it until the run has ended."""
    follower = Follower(log)
    lines = await asyncio.to_thread(follower.read)
    yield b"".join(entry.shown(timestamps=query.timestamps) for entry in selected(lines, query))
    while query.follow:
        ended = await asyncio.to_thread((log.parent / "exit.json").exists)
        added = await asyncio.to_thread(follower.read)
        if added:
            yield b"".join(parse_entry(line).shown(timestamps=query.timestamps) for line in added)
        elif ended:
            return
        else:
            await asyncio.sleep(FOLLOW_EVERY_S)


def listening_socket(ip: str, port: int) -> socket.socket:
    """A bound socket on one of this machine's addresses. Raises OSError."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((ip, port))
    except OSError:
        listener.close()
        raise
    return listener


@asynccontextmanager
async def serving(app: web.Application, listener: socket.socket, tls: ssl.SSLContext) -> AsyncIterator[None]:
    """Serve until the block is left."""
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        await web.SockSite(runner, listener, ssl_context=tls).start()
        yield
    finally:
        await runner.cleanup()

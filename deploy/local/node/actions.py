"""What probes and hooks do to a container: GET a URL, open a connection, run a command in its surroundings."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import aiohttp

from deploy.local.node.mounts import rewrite
from deploy.local.node.pids import surroundings
from deploy.local.node.pod_container import Container, Exec, Handler, HttpGet, TcpSocket
from deploy.local.node.ports import container_port

OUTPUT_LIMIT = 1024
"""Characters of a command's output that are repeated in a message."""


class ActionFailed(Exception):
    """The container did not answer as it should; the message says how it did."""


class Target(NamedTuple):
    """The running container that an action is meant for. `ports`: real port by declared port."""

    container: Container
    pid: int | None
    ports: Mapping[int, int]
    mounts: Mapping[str, Path]


async def act(handler: Handler, target: Target, http: aiohttp.ClientSession, timeout_s: float) -> None:
    """Do it. Raises ActionFailed when the answer is bad, or does not come within `timeout_s` seconds."""
    try:
        async with asyncio.timeout(timeout_s):
            if handler.http_get:
                await _get(handler.http_get, target, http)
            elif handler.tcp_socket:
                await _connect(handler.tcp_socket, target)
            elif handler.exec_:
                await _run(handler.exec_, target)
            else:
                raise ActionFailed("this node knows httpGet, tcpSocket and exec, and it is none of them")
    except TimeoutError as error:
        raise ActionFailed(f"no answer within {timeout_s:g} s") from error


async def _get(action: HttpGet, target: Target, http: aiohttp.ClientSession) -> None:
    headers = {header.name: header.value for header in action.http_headers}
    url = f"{action.scheme.lower()}://{action.host or '127.0.0.1'}:{_real_port(action.port, target)}"
    path = action.path if action.path.startswith("/") else f"/{action.path}"
    try:
        # As with the kubelet, the certificate is not checked: who could have sent it another one?
        async with http.get(url + path, headers=headers, ssl=False, allow_redirects=False) as answer:
            if not 200 <= answer.status < 400:
                raise ActionFailed(f"HTTP probe failed with statuscode: {answer.status}")
    except (aiohttp.ClientError, OSError) as error:
        raise ActionFailed(f"Get {action.path!r} on port {action.port}: {error}") from error


async def _connect(action: TcpSocket, target: Target) -> None:
    try:
        _, writer = await asyncio.open_connection(action.host or "127.0.0.1", _real_port(action.port, target))
    except OSError as error:
        raise ActionFailed(f"connect to port {action.port}: {error.strerror or error}") from error
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()


def _real_port(port: int | str, target: Target) -> int:
    declared = container_port(target.container, port)
    if declared is None:
        raise ActionFailed(f"the container has no port named {port!r}")
    return target.ports.get(declared, declared)


async def _run(action: Exec, target: Target) -> None:
    process = await _spawn([rewrite(part, target.mounts) for part in action.command], target)
    try:
        output, _ = await process.communicate()
    except asyncio.CancelledError:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        raise
    if process.returncode:
        text = output.decode(errors="replace").strip()[:OUTPUT_LIMIT]
        raise ActionFailed(f"command ended with exit code {process.returncode}: {text}")


async def _spawn(argv: list[str], target: Target) -> asyncio.subprocess.Process:
    if target.pid is None or not argv:
        raise ActionFailed("the container does not run" if argv else "the command is empty")
    try:
        around = await asyncio.to_thread(surroundings, target.pid)
        return await asyncio.create_subprocess_exec(
            *argv, env=around.env, cwd=around.cwd, start_new_session=True, stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
    except OSError as error:
        raise ActionFailed(f"command {argv[0]!r} cannot be run: {error.strerror}") from error

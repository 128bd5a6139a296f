"""The node agent: puts its parts together, runs them, and ends them in the right order."""

from __future__ import annotations

import asyncio
import fcntl
import logging
import signal
import socket
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import BinaryIO

import aiohttp

from deploy.local.address import own_address
from deploy.local.node.certificates import tls_context
from deploy.local.node.context import Narrator, NodeContext
from deploy.local.node.downward import Place
from deploy.local.node.gpus import GpuBook
from deploy.local.node.images import Images
from deploy.local.node.logs_server import PodLogs, listening_socket, make_app, serving
from deploy.local.node.machine import look
from deploy.local.node.node_status import Address, capacity
from deploy.local.node.options import NodeOptions
from deploy.local.node.own_log import keep_bounded
from deploy.local.node.pods import Pods
from deploy.local.node.ports import PortBook
from deploy.local.node.registration import Registration
from deploy.local.node.service_proxy import ServiceProxy
from deploy.local.node.tokens import Tokens
from deploy.local.node.volumes import make_private_dir
from services.chassis.kube import KubeClient, KubeError

log = logging.getLogger(__name__)

STOP_GRACE_S = 20.0
"""Most that pods get to end when the agent is told to stop, whatever their own grace period."""
LOCK_WAIT_S = 5.0


class AgentError(Exception):
    """The agent cannot run; the message says why and what to change."""


async def run_agent(options: NodeOptions) -> None:
    """Be a node until SIGTERM or SIGINT: then end the pods' processes and say so to the API server.

    Raises AgentError, KubeError (no usable kubeconfig).
    """
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    make_private_dir(options.state_dir).chmod(0o700)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(_locked(options.state_dir / "lock"))
        client = await stack.enter_async_context(await KubeClient.connect(str(options.kubeconfig)))
        http = await stack.enter_async_context(aiohttp.ClientSession())
        await _Agent(options, client, http).run(stop)


class _Agent:
    def __init__(self, options: NodeOptions, client: KubeClient, http: aiohttp.ClientSession) -> None:
        folder = options.state_dir
        address = own_address()
        ports = PortBook(folder / "ports.json")
        self._options = options
        self._narrator = Narrator(client)
        self._listener = _listen(address, options.port)
        self._tls = _tls(options, address)
        node = NodeContext(
            client=client,
            images=Images(options.images),
            tokens=Tokens(client),
            ports=ports,
            gpus=GpuBook(folder / "gpus.json", options.gpus),
            narrator=self._narrator,
            http=http,
            place=Place(address, capacity(options, look(folder))),
            pods_dir=make_private_dir(folder / "pods"),
            base_env={"KAITOBUS_MODEL_DIR": str(options.model_dir)} if options.model_dir else {},
        )
        self._services = ServiceProxy(client, ports, lambda: self._pods.local_pods())
        self._pods = Pods(node, options.name, self._services.changed)
        self._logs = PodLogs(node.pods_dir, self._pods.objects)
        ip, port = self._listener.getsockname()
        self._registration = Registration(client, options, Address(ip, port), folder)

    async def run(self, stop: asyncio.Event) -> None:
        app = make_app(self._logs, local_only=self._options.client_ca is None)
        async with serving(app, self._listener, self._tls):
            work = asyncio.create_task(self._work())
            bounding = asyncio.create_task(keep_bounded(self._options.state_dir))
            stopping = asyncio.create_task(stop.wait())
            await asyncio.wait({work, stopping}, return_when=asyncio.FIRST_COMPLETED)
            stopping.cancel()
            if work.done():
                work.result()
            await self._leave(work)
            bounding.cancel()

    async def _work(self) -> None:
        try:
            await self._registration.register()
        except ValueError as error:
            raise AgentError(str(error)) from error
        log.info("node %s is registered; its state is in %s", self._options.name, self._options.state_dir)
        async with asyncio.TaskGroup() as group:
            for part in (self._registration, self._pods, self._services, self._narrator):
                group.create_task(part.run())

    async def _leave(self, work: asyncio.Task[None]) -> None:
        """First the pods, while the API server still hears of it, then the node."""
        log.info("stopping: ending the processes of all pods")
        await self._pods.stop(STOP_GRACE_S)
        work.cancel()
        with suppress(asyncio.CancelledError):
            await work
        with suppress(KubeError):
            await self._registration.leave()


def _listen(address: str, port: int) -> socket.socket:
    """Listen on the machine's own address; on 127.0.0.1 where it has none of its own."""
    try:
        return listening_socket(address, port)
    except OSError:
        try:
            return listening_socket("127.0.0.1", port)
        except OSError as error:
            raise AgentError(
                f"logs cannot be served on port {port}: {error.strerror}. Choose another --port"
            ) from error


def _tls(options: NodeOptions, address: str) -> ssl.SSLContext:
    try:
        return tls_context(options, address)
    except OSError as error:  # ssl.SSLError is one.
        given = ", ".join(str(path) for path in (options.tls_cert, options.tls_key, options.client_ca) if path)
        raise AgentError(f"the certificates to serve logs with cannot be used ({given}): {error}") from error


@asynccontextmanager
async def _locked(path: Path) -> AsyncIterator[None]:
    """Keep a second agent away from the same state. One that is just ending is waited for."""
    deadline = time.monotonic() + LOCK_WAIT_S
    with path.open("ab") as file:
        while not _lock(file):
            if time.monotonic() > deadline:
                raise AgentError(f"another node agent uses {path.parent}; stop it, or choose another --state-dir")
            await asyncio.sleep(0.1)
        yield


def _lock(file: BinaryIO) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True

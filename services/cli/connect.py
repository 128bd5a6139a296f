"""The way to the cluster and to the bus, with every failure on it told as a sentence.

$KUBECONFIG and $KAITOBUS_NATS_URL come first, then what `kaitobus up` started on this machine.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar

import nats
import nats.errors
from nats.aio.client import Client
from nats.js import JetStreamContext
from nats.js.errors import Error as JetStreamError
from nats.js.errors import NotFoundError

from deploy.local.state import LocalState, read_state, state_folder
from services.chassis.kube.client import KubeClient
from services.chassis.kube.errors import BadKubeconfig, Forbidden, KubeError, Unreachable
from services.chassis.kube.transport import Transport
from services.cli.errors import CliError

DEFAULT_NATS_URL = "nats://127.0.0.1:4222"
TIMEOUT = 5.0
"""Seconds that one request to NATS may take."""

T = TypeVar("T")


class Cluster:
    """An API server: typed calls through `kube`, anything else (logs, the service proxy) through `transport`."""

    def __init__(self, transport: Transport) -> None:
        self.transport = transport
        self.kube = KubeClient(transport)


def run(main: Coroutine[object, object, T]) -> T:
    """Run the asynchronous part of a command."""
    return asyncio.run(main)


def local_state() -> LocalState | None:
    """What `kaitobus up` left on this machine, if it has run."""
    return read_state(state_folder())


def kubeconfig() -> str | None:
    """The kubeconfig to use; None for kubectl's own default."""
    if named := os.environ.get("KUBECONFIG"):
        return named
    state = local_state()
    return str(state.kubeconfig) if state else None


def nats_url() -> str:
    """The NATS server to use."""
    if named := os.environ.get("KAITOBUS_NATS_URL"):
        return named
    state = local_state()
    return state.nats_url if state else DEFAULT_NATS_URL


@asynccontextmanager
async def cluster() -> AsyncIterator[Cluster]:
    """The cluster; what the API server says in the body of `async with` becomes a `CliError`."""
    try:
        transport = await Transport.connect(kubeconfig())
        try:
            yield Cluster(transport)
        finally:
            await transport.close()
    except KubeError as error:
        raise CliError(cluster_sentence(error)) from error


def cluster_sentence(error: KubeError) -> str:
    """What a failed call means to a person, and what to do."""
    if isinstance(error, BadKubeconfig):
        return f"No cluster: {error.message}. Start one here with `kaitobus up`."
    if isinstance(error, Unreachable):
        return f"The cluster does not answer: {error.message}. Is it running? `kaitobus up` starts one here."
    if isinstance(error, Forbidden):
        return f"The cluster does not allow this: {error.message}."
    return f"The cluster refused: {error.message}."


@asynccontextmanager
async def jetstream() -> AsyncIterator[JetStreamContext]:
    """JetStream at `nats_url`; what fails in the body of `async with` becomes a `CliError`."""
    async with bus_client() as client:
        yield client.jetstream(timeout=TIMEOUT)


@asynccontextmanager
async def bus_client(url: str | None = None, credentials: Path | None = None) -> AsyncIterator[Client]:
    """A client; what fails in the body of `async with` becomes a `CliError`. Without a URL that of `nats_url`."""
    url = url or nats_url()
    client = await _connect(url, credentials)
    try:
        yield client
    except NotFoundError as error:
        raise CliError(
            f"NATS at {_address(url)} keeps no such thing: {error.description}. Do the services run on it?"
        ) from error
    except (JetStreamError, nats.errors.Error, TimeoutError) as error:
        raise CliError(f"NATS at {_address(url)} failed: {str(error) or type(error).__name__}.") from error
    finally:
        await client.close()


async def _connect(url: str, credentials: Path | None) -> Client:
    said: list[Exception] = []

    async def note(error: Exception) -> None:
        said.append(error)

    try:
        # Without a bound on its tries nats-py goes on for two minutes, whatever `allow_reconnect` says.
        return await nats.connect(
            url,
            name="kaitobus-cli",
            user_credentials=str(credentials) if credentials else None,
            connect_timeout=3,
            allow_reconnect=False,
            max_reconnect_attempts=1,
            reconnect_time_wait=0,
            error_cb=note,
        )
    except (OSError, nats.errors.Error, TimeoutError, ValueError) as error:
        first = said[0] if said else error
        what = str(first) or type(first).__name__
        raise CliError(
            f"NATS at {_address(url)} does not answer ({what.removeprefix('nats: ')}). "
            "Set KAITOBUS_NATS_URL to it, or start all on this machine with `kaitobus up`."
        ) from error


def _address(url: str) -> str:
    """The address without the token that a URL may carry."""
    return url.rpartition("@")[2].removeprefix("nats://")

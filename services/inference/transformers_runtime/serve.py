"""Loads the model, and serves it until told to end, or until the accelerator has failed."""

import asyncio
import os
from collections.abc import Mapping
from contextlib import suppress

import uvicorn

from services.inference import gate
from services.inference.door import LIMIT_ENV, Door, limit_of
from services.inference.drain import CUT_OFF_S, DEFAULT_GRACE_S, GRACE_ENV, Drain
from services.inference.front import Front
from services.inference.transformers_runtime.generation import Generator
from services.inference.transformers_runtime.metrics import Metrics
from services.inference.transformers_runtime.model import load
from services.inference.transformers_runtime.options import Options
from services.inference.transformers_runtime.routes import Served, build_app

MAX_WAITING = 8
"""Requests that may wait for the one that is answered, where nobody says how many may be inside."""


def start(options: Options) -> Served:
    """Load the model. Raises whatever transformers raises where it cannot."""
    loaded, metrics = load(options), Metrics(options.served_model_name)
    return Served(options.served_model_name, loaded, Generator(loaded.model, loaded.decode, metrics), metrics)


def door_of(environ: Mapping[str, str]) -> Door:
    """Return the door: as many as the environment says. Raises ValueError."""
    return Door(limit_of(environ.get(LIMIT_ENV) or str(1 + MAX_WAITING), 1))


async def serve(served: Served, options: Options, front: Front | None) -> None:
    """Serve on the front's socket. Raises RuntimeError if it ended since the accelerator has failed."""
    door = door_of(os.environ)
    app = build_app(served, gate.entrance(door, options.api_keys))
    server = uvicorn.Server(
        uvicorn.Config(
            app, host=options.host, port=options.port, log_level="warning", timeout_graceful_shutdown=CUT_OFF_S
        )
    )
    drain = Drain(door, float(os.environ.get(GRACE_ENV) or DEFAULT_GRACE_S), lambda: _close(server))
    if front:
        await asyncio.to_thread(front.stop)
    serving = asyncio.create_task(server.serve(sockets=[front.sock] if front else None))
    await asyncio.sleep(0)  # uvicorn sets its signal handlers in its first step; ours take their place
    drain.mind_signals()
    watching = asyncio.create_task(_end_when_broken(served.generator, drain))
    await serving
    watching.cancel()
    with suppress(asyncio.CancelledError):
        await watching
    served.generator.close()
    if served.generator.broken:
        raise RuntimeError(f"the accelerator has failed, so the server must start anew: {served.generator.broken}")


def _close(server: uvicorn.Server) -> None:
    server.should_exit = True


async def _end_when_broken(generator: Generator, drain: Drain) -> None:
    """What waits fails at once then, so the end is near."""
    await generator.broke.wait()
    drain.begin()

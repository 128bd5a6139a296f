"""Wires vLLM's OpenAI server: engine, vLLM's routes, ours, one token; then it takes over the port."""

import asyncio
import logging
import os
import socket
from argparse import Namespace
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack

from fastapi import FastAPI
from prometheus_client import REGISTRY
from vllm import envs
from vllm.engine.protocol import EngineClient
from vllm.entrypoints.launchers.api_server.app_state import init_app_state
from vllm.entrypoints.launchers.api_server.entry import build_async_engine_client
from vllm.entrypoints.launchers.app import build_app
from vllm.entrypoints.launchers.launcher import serve_http, setup_server
from vllm.entrypoints.launchers.utils.server_utils import get_uvicorn_log_config
from vllm.entrypoints.openai.completion.protocol import CompletionRequest
from vllm.entrypoints.serve.engine.protocol import ErrorResponse
from vllm.logger import configure_logging_from_args
from vllm.utils.argparse_utils import FlexibleArgumentParser

from services.inference import cards, gate
from services.inference.adapters.serving import keeping_adapters
from services.inference.benchmark.serving import keeping_benchmark
from services.inference.cards import CARDS
from services.inference.door import LIMIT_ENV, Door, limit_of
from services.inference.drain import CUT_OFF_S, DEFAULT_GRACE_S, GRACE_ENV, Drain
from services.inference.front import Front
from services.inference.gate import GATE
from services.inference.logs import LOGGER
from services.inference.measured import EXTENSION
from services.inference.memory import Memory, measured, memory_router, set_gauges, set_start_gauges
from services.inference.phases import Phases
from services.inference.progress import ENGINE, FIRST_TOKEN
from services.inference.routes import chat_router
from services.inference.vllm_names import make_arg_parser, validate_parsed_serve_args

log = logging.getLogger(LOGGER)


def parse_args(argv: Sequence[str]) -> Namespace:
    """Parse vLLM's flags with vLLM's own parser, which ends the process with code 2 on a wrong one."""
    parser = make_arg_parser(FlexibleArgumentParser(prog="kaitobus-inference"))
    args: Namespace = parser.parse_args(list(argv))
    configure_logging_from_args(args)
    validate_parsed_serve_args(args)
    args.worker_extension_cls = args.worker_extension_cls or EXTENSION
    return args


async def serve(args: Namespace, phases: Phases, front: Front | None, ready: Callable[[], None]) -> None:
    """Serve until SIGTERM. `ready` is called once the first token is there, just before vLLM's app has the port."""
    address, sock = _socket(args, front)
    async with AsyncExitStack() as stack:
        with phases.phase(ENGINE):
            engine = await stack.enter_async_context(build_async_engine_client(args))
        with phases.phase(FIRST_TOKEN):
            memory = await measured(engine)
            keys = [key for key in (args.api_key or [envs.VLLM_API_KEY]) if key]
            app, door = await _build(engine, args, memory, keys)
            await _first_token(app)
        await stack.enter_async_context(keeping_adapters(app, args))
        asked = (engine.vllm_config, memory.get("kv_tokens"), door, keys, front.sock if front else None)
        await stack.enter_async_context(keeping_benchmark(app, args, *asked))
        ready()
        set_start_gauges(phases.times(), REGISTRY)
        log.info("serving on %s", address)
        if front:
            await asyncio.to_thread(front.stop)
        serving = asyncio.create_task(serve_http(app, sock=sock, **_http_options(args)))
        await asyncio.sleep(0)  # serve_http sets its signal handlers in its first step; ours take their place
        drain = Drain(door, float(os.environ.get(GRACE_ENV) or DEFAULT_GRACE_S), _closer(app))
        drain.mind_signals()
        closing = await serving
    # The last answers are out; the engine has been ended by leaving the block.
    try:
        await closing
    finally:
        sock.close()
    if not drain.told:
        raise RuntimeError("vLLM's engine process died; its own log lines above say why")


def _socket(args: Namespace, front: Front | None) -> tuple[str, socket.socket]:
    """Return where the server listens, with vLLM's own checks of the flags.

    vLLM checks them where it makes its socket. That one is not wanted where ours is open already.
    """
    if front is None:
        address, sock = setup_server(args, reuse_port=False)
        return str(address), sock
    elsewhere = Namespace(**{**vars(args), "host": "127.0.0.1", "port": 0})
    setup_server(elsewhere, reuse_port=False)[1].close()
    return f"http://{args.host or '0.0.0.0'}:{args.port}", front.sock  # noqa: S104 - what no host means


def _closer(app: FastAPI) -> Callable[[], None]:
    """Return what ends uvicorn, and with it `serve_http`, as vLLM's own watchdog does it."""

    def close() -> None:
        app.state.server.should_exit = True

    return close


async def _build(engine: EngineClient, args: Namespace, memory: Memory, keys: Sequence[str]) -> tuple[FastAPI, Door]:
    """Build the app: vLLM's routes and ours, and before them who may come in."""
    tasks = await engine.get_supported_tasks()
    args.middleware = [*args.middleware, CARDS, GATE]  # the last is the outermost
    app = build_app(args, tasks, engine.model_config)
    app.include_router(chat_router())
    app.include_router(memory_router(memory))
    set_gauges(memory, REGISTRY)
    config = engine.vllm_config
    at_once = config.scheduler_config.max_num_seqs * config.parallel_config.data_parallel_size
    door = Door(limit_of(os.environ.get(LIMIT_ENV), at_once))
    setattr(app.state, cards.STATE, cards.about_model(args.revision, os.environ))
    setattr(app.state, gate.STATE, gate.entrance(door, keys))
    await init_app_state(engine, app.state, args, tasks)
    return app, door


async def _first_token(app: FastAPI) -> None:
    """Let the engine answer with one token, on the way a client's request takes, so that /health means it can."""
    handler = getattr(app.state, "openai_serving_completion", None)
    if handler is None:
        log.info("the model does not generate text: no first token to wait for")
        return
    request = CompletionRequest(prompt="Hello", max_tokens=1, temperature=0.0)
    response = await handler.create_completion(request)
    failure = response.error.message if isinstance(response, ErrorResponse) else None
    if failure is not None:
        raise RuntimeError(f"the engine gave no first token: {failure}")


def _http_options(args: Namespace) -> dict[str, object]:
    """Return uvicorn's options from vLLM's flags."""
    same = ("host", "port", "ssl_keyfile", "ssl_certfile", "ssl_ca_certs", "ssl_cert_reqs", "ssl_ciphers")
    headers = ("h11_max_incomplete_event_size", "h11_max_header_count", "enable_ssl_refresh")
    options = {name: getattr(args, name) for name in (*same, *headers)}
    log_config = get_uvicorn_log_config(args)
    return {
        **options,
        "log_level": args.uvicorn_log_level,
        "access_log": not args.disable_uvicorn_access_log,
        "timeout_graceful_shutdown": CUT_OFF_S,
        "timeout_keep_alive": envs.VLLM_HTTP_TIMEOUT_KEEP_ALIVE,
        **({} if log_config is None else {"log_config": log_config}),
    }

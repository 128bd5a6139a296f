"""Adapters in vLLM's server: its own interface loads and unloads them, and `GET /adapters` tells how they are."""

import asyncio
import logging
import os
import time
from argparse import Namespace
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from fastapi import FastAPI
from huggingface_hub import try_to_load_from_cache
from vllm.entrypoints.openai.models.serving import OpenAIServingModels
from vllm.entrypoints.serve.engine.protocol import ErrorResponse
from vllm.entrypoints.serve.lora.protocol import LoadLoRAAdapterRequest, UnloadLoRAAdapterRequest

from services.inference.adapters.job import Base
from services.inference.adapters.keeper import Keeper
from services.inference.adapters.process import prepare_apart
from services.inference.adapters.wanted import AdapterError, Mounts
from services.inference.adapters.words import engine_words
from services.inference.logs import LOGGER

log = logging.getLogger(LOGGER)

PATH = "/adapters"
FILE_ENV = "KAITOBUS_ADAPTERS"
"""The list, a file that may change. Without it the server keeps no adapters."""
HOME_ENV = "KAITOBUS_ADAPTERS_DIR"
MOUNTS_ENV = "KAITOBUS_ADAPTER_MOUNTS"
FIRST_WITHIN_S = 30.0
"""Seconds for which the server waits with its port for the first adapters. A slow or bad one comes later."""
LOAD_WITHIN_S = 600.0


class VllmAdapters:
    """vLLM's table of models, as the keeper sees it."""

    def __init__(self, models: OpenAIServingModels) -> None:
        self._models = models

    async def load(self, name: str, folder: str) -> None:
        """Load an adapter, in place of one of that name. Raises AdapterError in vLLM's words."""
        known = name in self._models.lora_requests
        request = LoadLoRAAdapterRequest(lora_name=name, lora_path=folder, load_inplace=known)
        try:
            async with asyncio.timeout(LOAD_WITHIN_S):
                answer = await self._models.load_lora_adapter(request)
        except TimeoutError:
            raise AdapterError(f"The engine did not load it within {LOAD_WITHIN_S:.0f} s.") from None
        if isinstance(answer, ErrorResponse):
            raise AdapterError(f"The engine refuses it: {engine_words(answer.error.message)}")
        # What is left set would have every step of the engine read the files again.
        self._models.lora_requests[name].load_inplace = False

    async def unload(self, name: str) -> None:
        """Serve that name no more. It is no error if it is not there."""
        await self._models.unload_lora_adapter(UnloadLoRAAdapterRequest(lora_name=name))


@asynccontextmanager
async def keeping_adapters(
    app: FastAPI, args: Namespace, environment: Mapping[str, str] = os.environ
) -> AsyncIterator[None]:
    """Keep the adapters while the block runs, and add the route that tells of them.

    Entered before the port opens; the first adapters are waited for, but not long.
    """
    keeper = _keeper(app, args, environment)
    if keeper is None:
        yield
        return
    app.add_api_route(PATH, _route(keeper), methods=["GET"])
    task = asyncio.create_task(keeper.run())
    try:
        with suppress(TimeoutError):
            await asyncio.wait_for(keeper.settled.wait(), FIRST_WITHIN_S)
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def _keeper(app: FastAPI, args: Namespace, environment: Mapping[str, str]) -> Keeper | None:
    file, home = environment.get(FILE_ENV), environment.get(HOME_ENV)
    if not file or not home or not args.enable_lora:
        return None
    mounts = Mounts.model_validate_json(environment.get(MOUNTS_ENV) or "{}")
    base = Base(folder=_model_folder(args), max_rank=args.max_lora_rank)
    engine = VllmAdapters(app.state.openai_serving_models)
    return Keeper(Path(file), Path(home), mounts, base, engine, prepare_apart, time.monotonic)


def _route(keeper: Keeper):  # type: ignore[no-untyped-def]
    async def tell() -> dict[str, object]:
        """Return how each adapter is, and the revision of the list that was read last. None of it is a secret."""
        return {"revision": keeper.revision, "adapters": keeper.states()}

    return tell


def _model_folder(args: Namespace) -> str | None:
    """Return the folder of the model's files; None where they are not known, or not named as in transformers."""
    if args.load_format == "mistral":
        return None
    if Path(args.model).is_dir():
        return str(args.model)
    try:
        found = try_to_load_from_cache(args.model, "config.json", revision=args.revision)
    except (ValueError, OSError):
        return None
    return str(Path(found).parent) if isinstance(found, str) else None

"""Reads all that sizing needs of one model from the hub: what it is, its config, and its tensors' sizes.

Of the weights only the headers are read, by ranges: some 100 KB for each file of several GB.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import Final

from pydantic import JsonValue, SecretStr

from services.scheduler.facts import Facts
from services.scheduler.hub.client import HubClient, Place
from services.scheduler.hub.errors import FileMissing, HubError, unavailable, unusable
from services.scheduler.hub.repository import (
    CONFIG,
    INDEX,
    MOST_FILES,
    Repository,
    indexed_files,
    no_config,
    no_weights,
    weight_files,
)
from services.scheduler.hub.safetensors_header import LENGTH_BYTES, BadHeader, Tensor, header_length, read_header
from services.scheduler.hub.weights import TooManyTensors, Weights, WeightSum

LARGEST_CONFIG: Final = 2 * 2**20
LARGEST_INDEX: Final = 32 * 2**20
FIRST_READ: Final = 128 * 2**10
"""Bytes of a file that are read first: most headers are in them whole."""
FILES_AT_ONCE: Final = 4
LONGEST: Final = 180.0
"""Seconds for all of one model."""

Config = dict[str, JsonValue]


class Fetched(Facts):
    """One model at one commit, as its files describe it."""

    repository: Repository
    config: Config
    weights: Weights


async def fetch(hub: HubClient, model: str, revision: str | None, token: SecretStr | None) -> Fetched:
    """Read one model. A revision that is None is pinned to the commit of the main branch.

    Raises HubError with a sentence for the person who named the model.
    """
    try:
        async with asyncio.timeout(LONGEST):
            repository = await hub.repository(model, revision, token)
            place = Place(repository.id, repository.revision, token)
            config = await _config(hub, place, repository)
            weights = await _weights(hub, place, repository, layers_of(config))
    except TimeoutError as error:
        raise unavailable(hub.address, f"{model} could not be read within {LONGEST:.0f} s") from error
    return Fetched(repository=repository, config=config, weights=weights)


def layers_of(config: Config) -> int | None:
    """The number of layers of the language model, where the config says it in one of the usual ways."""
    inner = [config.get(part) for part in ("text_config", "llm_config", "language_config")]
    for part in (*inner, config):
        layers = part.get("num_hidden_layers") if isinstance(part, dict) else None
        if isinstance(layers, int) and layers > 0:
            return layers
    return None


async def _config(hub: HubClient, place: Place, repository: Repository) -> Config:
    if CONFIG not in repository.names:
        raise no_config(repository)
    return read_config(await hub.file(place, CONFIG, LARGEST_CONFIG), repository.id)


def read_config(text: bytes | bytearray, model: str) -> Config:
    """The object in a `config.json`; NaN and Infinity, which some have, are read too. Raises HubError."""
    try:
        content: object = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise unusable(f"{CONFIG} of {model} is not JSON: {' '.join(str(error).split())[:200]}.") from error
    if not isinstance(content, dict):
        raise unusable(f"{CONFIG} of {model} is not a JSON object.")
    return content


async def _weights(hub: HubClient, place: Place, repository: Repository, layers: int | None) -> Weights:
    names = await _files(hub, place, repository)
    if not names:
        raise no_weights(repository)
    if len(names) > MOST_FILES:
        raise unusable(f"{place.model} has {len(names)} files of weights; at most {MOST_FILES} are read.")
    total = WeightSum(layers)
    room = asyncio.Semaphore(FILES_AT_ONCE)

    async def add(name: str) -> None:
        async with room:
            total.add(await _tensors(hub, place, name))

    try:
        async with asyncio.TaskGroup() as group:
            for name in names:
                group.create_task(add(name))
    except ExceptionGroup as errors:
        raise _first(errors, place.model) from errors
    return _not_empty(total.weights(), place.model)


async def _files(hub: HubClient, place: Place, repository: Repository) -> Sequence[str]:
    if INDEX not in repository.names:
        return weight_files(repository.names)
    text = await hub.file(place, INDEX, LARGEST_INDEX)
    return await asyncio.to_thread(indexed_files, text, repository.names)


async def _tensors(hub: HubClient, place: Place, name: str) -> list[Tensor]:
    try:
        text, file_size = await _header(hub, place, name)
        return await asyncio.to_thread(read_header, text, file_size)
    except BadHeader as error:
        raise unusable(f"{name} of {place.model} cannot be read: {error}.") from error


async def _header(hub: HubClient, place: Place, name: str) -> tuple[bytearray, int | None]:
    """The header's JSON, in one read if it is short, and the size of the file."""
    start = await hub.part(place, name, 0, FIRST_READ)
    length = header_length(start.body)
    text = start.body[LENGTH_BYTES : LENGTH_BYTES + length]
    if len(text) < length:
        text += (await hub.part(place, name, LENGTH_BYTES + len(text), length - len(text))).body
    if len(text) < length:
        raise BadHeader(f"it ends after {len(text)} of its {length} bytes of header")
    return text, start.file_size


def _first(errors: ExceptionGroup[Exception], model: str) -> Exception:
    """One of several errors that came together, in words."""
    first = errors.exceptions[0]
    if isinstance(first, FileMissing):
        return unusable(f"A file of the weights of {model} is named, but not there.")
    if isinstance(first, HubError):
        return first
    if isinstance(first, TooManyTensors):
        return unusable(f"The weights of {model} cannot be counted: {first}.")
    return first


def _not_empty(weights: Weights, model: str) -> Weights:
    if not weights.size:
        raise unusable(f"The safetensors files of {model} hold no tensors.")
    return weights

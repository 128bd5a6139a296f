"""Asks a model over OpenAI's interface, and hands out its answer word by word."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from typing import TypedDict

from services.chassis.kube.objects import dig_dicts, dig_str
from services.cli.errors import CliError
from services.cli.way import Way

_DATA = "data: "
_DONE = "[DONE]"


class Turn(TypedDict):
    """One message of a conversation."""

    role: str
    content: str


async def model_name(way: Way, adapter: str | None = None) -> str:
    """The name under which the server has its base model, or the adapter, if it has that. Raises CliError."""
    async with way.open("GET", "/v1/models") as response:
        return chosen(json.loads(await response.read()), adapter)


def chosen(listed: object, adapter: str | None) -> str:
    """The name to ask for, of what `/v1/models` lists: the base model is its first. Raises CliError. Pure."""
    names = [dig_str(model, "id") for model in dig_dicts(listed, "data")]
    if not names:
        raise CliError("The server has no model yet. Ask again in a moment.")
    if adapter is None:
        return names[0]
    if adapter not in names[1:]:
        there = f"it has {', '.join(names[1:])}" if names[1:] else "it has none"
        raise CliError(
            f"The server has no adapter {adapter}: {there}. Condition AdaptersReady says which are not loaded."
        )
    return adapter


async def answer(
    way: Way, turns: Sequence[Turn], *, adapter: str | None = None, temperature: float | None = None
) -> AsyncIterator[str]:
    """The pieces of the model's answer as they come. Raises CliError where the server refuses or breaks off."""
    body: dict[str, object] = {"model": await model_name(way, adapter), "messages": list(turns), "stream": True}
    if temperature is not None:
        body["temperature"] = temperature
    async with way.open("POST", "/v1/chat/completions", body) as response:
        async for line in response.content:
            if piece := piece_of(line.decode()):
                yield piece


def piece_of(line: str) -> str:
    """The text in one line of the event stream; empty for lines without any. Raises CliError for an error."""
    if not line.startswith(_DATA) or line[len(_DATA) :].strip() == _DONE:
        return ""
    event: object = json.loads(line[len(_DATA) :])
    if error := dig_str(event, "error", "message"):
        raise CliError(f"The model broke off: {error}")
    return dig_str(event, "choices", 0, "delta", "content")

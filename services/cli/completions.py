"""Asks a model over OpenAI's interface, and hands out its answer word by word."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from typing import TypedDict

from services.chassis.kube.objects import dig_str
from services.cli.errors import CliError
from services.cli.way import Way

_DATA = "data: "
_DONE = "[DONE]"


class Turn(TypedDict):
    """One message of a conversation."""

    role: str
    content: str


async def model_name(way: Way) -> str:
    """The name under which the server has its base model."""
    async with way.open("GET", "/v1/models") as response:
        name = dig_str(json.loads(await response.read()), "data", 0, "id")
    if not name:
        raise CliError("The server has no model yet. Ask again in a moment.")
    return name


async def answer(way: Way, turns: Sequence[Turn], *, temperature: float | None = None) -> AsyncIterator[str]:
    """The pieces of the model's answer as they come. Raises CliError where the server refuses or breaks off."""
    body: dict[str, object] = {"model": await model_name(way), "messages": list(turns), "stream": True}
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

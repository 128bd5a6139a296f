"""The lines of one watch: one JSON object a line, for as long as the server keeps the connection open."""

from __future__ import annotations

import asyncio
import json
from typing import Literal, NamedTuple, cast

import aiohttp
from aiohttp.http import HttpProcessingError

from services.chassis.kube.errors import Unreachable, error_from_status
from services.chassis.kube.objects import JsonObject, Resource, dig_dict, dig_str

MAX_LINE = 64 * 2**20
"""Bytes: far above what etcd stores for one object (1.5 MiB), so only a broken stream meets it."""

EventType = Literal["ADDED", "MODIFIED", "DELETED", "BOOKMARK"]


class WatchEvent(NamedTuple):
    """One line of a watch. A BOOKMARK's object carries nothing but a newer resourceVersion."""

    type: EventType
    object: JsonObject

    @property
    def resource_version(self) -> str:
        """Where a later watch can go on from."""
        return dig_str(self.object, "metadata", "resourceVersion")


class Idle(Unreachable):
    """No line came in time, not even a bookmark: the connection may be dead without either end knowing."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"the watch sent nothing for {seconds:.0f} s", reason="WatchIdle")


class WatchStream:
    """An open watch. Not for use by two tasks at once."""

    def __init__(self, response: aiohttp.ClientResponse, resource: Resource) -> None:
        self._response = response
        self._resource = resource

    async def next_event(self, timeout: float) -> WatchEvent | None:
        """The next line, or None when the server ended the watch, as it does every so often.

        Raises:
            Idle: nothing came within `timeout` seconds. The stream cannot be read any further.
            KubeError: the server sent an ERROR line (`Gone` when the resourceVersion is too old), or the
                connection broke (`Unreachable`).
        """
        try:
            async with asyncio.timeout(timeout):
                line = await self._response.content.readline(max_line_length=MAX_LINE)
        except TimeoutError as error:
            raise Idle(timeout) from error
        except (aiohttp.ClientError, HttpProcessingError, OSError) as error:
            raise Unreachable(f"the watch of {self._resource.plural} broke: {error}") from error
        return parse_line(line, self._resource) if line.endswith(b"\n") else None


def parse_line(line: bytes, resource: Resource) -> WatchEvent:
    """Read one line of a watch.

    Raises:
        KubeError: the line is an ERROR (`Gone` for 410), or cannot be read (`Unreachable`).
    """
    try:
        parsed: object = json.loads(line)
    except ValueError as error:
        raise Unreachable(f"the watch of {resource.plural} sent a line that is not JSON: {error}") from error
    kind, obj = dig_str(parsed, "type"), dig_dict(parsed, "object")
    if kind == "ERROR":
        raise error_from_status(obj)
    if kind not in ("ADDED", "MODIFIED", "DELETED", "BOOKMARK"):
        raise Unreachable(f"the watch of {resource.plural} sent a line of unknown type {kind!r}")
    return WatchEvent(cast("EventType", kind), obj)

"""What goes wrong: answers that are played instead of the real ones, by kind of call."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import NamedTuple

from aiohttp import web

JsonObject = dict[str, object]


class Play(NamedTuple):
    """One answer. Without a status the call is never answered; with `after` it is obeyed first, then answered so.

    With `cut` the connection breaks off in the middle of the body. `first` is done before it is answered.
    """

    status: int | None
    body: object = None
    headers: Mapping[str, str] = MappingProxyType({})
    after: bool = False
    cut: bool = False
    first: Callable[[], None] | None = None


class Script:
    """Kinds of calls: token, list, get, create, delete, operation, skus, usages; and create:SIZE."""

    def __init__(self) -> None:
        self._plays: dict[str, deque[Play]] = {}
        self._always: dict[str, Play] = {}
        self._closing = asyncio.Event()
        self.answered: list[float] = []
        """When it has misbehaved (`time.monotonic`)."""

    def refuse(
        self,
        kind: str,
        status: int,
        code: str,
        message: str = "",
        *,
        times: int = 1,
        flat: bool = False,
        **headers: str,
    ) -> None:
        """The next calls are refused. `flat` is the shape in which AKS itself answers, without "error" around it."""
        error = {"code": code, "message": message or "in its own words"}
        body = {**error, "details": None, "subcode": ""} if flat else {"error": error}
        self.play(kind, Play(status, body, {k.replace("_", "-"): v for k, v in headers.items()}), times)

    def play(self, kind: str, play: Play, times: int = 1) -> None:
        """The next calls are answered so."""
        self._plays.setdefault(kind, deque()).extend([play] * times)

    def hang(self, kind: str, times: int = 1, *, after: bool = False) -> None:
        """The next calls get no answer. With `after` they are obeyed all the same."""
        self.play(kind, Play(None, after=after), times)

    def always(self, kind: str, play: Play) -> None:
        """All calls from now on are answered so."""
        self._always[kind] = play

    def heal(self) -> None:
        """Forget all of it, and let go of the calls that hang."""
        self._plays.clear()
        self._always.clear()
        self._closing.set()
        self._closing = asyncio.Event()

    def next(self, *kinds: str) -> Play | None:
        """What to answer to a call that is of all these kinds."""
        queued = next((plays.popleft() for kind in kinds if (plays := self._plays.get(kind))), None)
        return queued or next((self._always[kind] for kind in kinds if kind in self._always), None)

    async def answer(self, play: Play, request: web.Request) -> web.StreamResponse:
        self.answered.append(time.monotonic())
        if play.first:
            play.first()
        if play.status is None:
            await self._closing.wait()
            raise web.HTTPServiceUnavailable
        if play.cut:
            return await _cut_off(play, request)
        if isinstance(play.body, str):
            return web.Response(text=play.body, status=play.status, headers=dict(play.headers))
        return web.json_response(play.body, status=play.status, headers=dict(play.headers))

    def close(self) -> None:
        """Let go of all calls that hang."""
        self._closing.set()


async def _cut_off(play: Play, request: web.Request) -> web.StreamResponse:
    """Promise more than comes, and break off."""
    answer = web.StreamResponse(status=play.status or 200, headers={**play.headers, "Content-Length": "1000"})
    await answer.prepare(request)
    await answer.write(str(play.body).encode())
    if request.transport:
        request.transport.abort()
    return answer

"""Kills a piece of asynchronous work at its n-th suspension, be it in the work itself or in a task of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Generator
from contextlib import suppress
from contextvars import ContextVar
from types import coroutine
from typing import Any, TypeVar

T = TypeVar("T")
_LIT: ContextVar[Fuse | None] = ContextVar("fuse", default=None)


class Fuse:
    """After so many suspensions all of it stands still for ever, as after kill -9: no clean-up runs.

    With `gently` it is cancelled at that place instead, as a time limit or an orderly end does.
    """

    def __init__(self, suspensions: int, *, gently: bool = False) -> None:
        self._left = suspensions
        self._gently = gently
        self._burnt = asyncio.Event()
        self._tasks: list[asyncio.Task[Any]] = []
        self._dead: list[Coroutine[Any, Any, Any]] = []

    async def survives(self, work: Coroutine[Any, Any, object]) -> bool:
        """Begin the work. Whether it came to its end before the fuse had burnt down."""
        loop = asyncio.get_running_loop()
        loop.set_task_factory(_make_task)
        token = _LIT.set(self)
        root = loop.create_task(work)
        _LIT.reset(token)
        burnt = loop.create_task(self._burnt.wait())
        try:
            await asyncio.wait({root, burnt}, return_when=asyncio.FIRST_COMPLETED)
            if self._gently and not root.done():
                root.cancel()
                await asyncio.wait({root})
            return not self._burnt.is_set()
        finally:
            burnt.cancel()
            loop.set_task_factory(None)

    def bury(self) -> None:
        """Let go of what stands still. What it complains of then nobody needs to hear: it was killed."""
        for task in self._tasks:
            task.cancel()
        for work in self._dead:
            with suppress(RuntimeError):
                work.close()

    @coroutine
    def watch(self, work: Coroutine[Any, Any, T]) -> Generator[Any, Any, T]:
        """Hands on all that the work waits for, and counts."""
        value: object = None
        error: BaseException | None = None
        while True:
            try:
                waits_for = work.throw(error) if error else work.send(value)
            except StopIteration as end:
                return end.value  # type: ignore[no-any-return]  # what a coroutine returns
            self._left -= 1
            if self._left <= 0:
                self._burnt.set()
                if not self._gently:
                    self._dead.append(work)
                    if isinstance(waits_for, asyncio.Future):
                        waits_for.add_done_callback(_hear)
                    yield from asyncio.get_running_loop().create_future()
            value, error = None, None
            try:
                value = yield waits_for
            except BaseException as raised:
                error = raised

    def keep(self, task: asyncio.Task[Any]) -> None:
        """Hold on to a task of the work: what nobody holds is cleaned up."""
        self._tasks.append(task)


def _make_task(
    loop: asyncio.AbstractEventLoop, work: Coroutine[Any, Any, T] | Generator[Any, None, T], **more: Any
) -> asyncio.Task[T]:
    """Tasks that the work begins are watched, and those of servers and of the test are not."""
    fuse = _LIT.get()
    if fuse is None or not asyncio.iscoroutine(work):
        return asyncio.Task(work, loop=loop, **more)
    made: asyncio.Task[T] = asyncio.Task(_run(fuse, work), loop=loop, **more)
    fuse.keep(made)
    return made


def _hear(result: asyncio.Future[Any]) -> None:
    """Take an error that the dead cannot take any more; unheard, it is complained of when it is collected."""
    if not result.cancelled():
        result.exception()


async def _run(fuse: Fuse, work: Coroutine[Any, Any, T]) -> T:
    return await fuse.watch(work)

"""nats-py may swallow a cancellation. What goes on beside other work ends all the same."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from faststream.nats.message import NatsMessage

from services.chassis import settling
from services.chassis.topology import Topology
from services.cli.conformance import wire

pytestmark = pytest.mark.asyncio


class Deaf:
    """What is called swallows a cancellation, as a flush of nats-py's does, and returns as if all were well; once."""

    def __init__(self) -> None:
        self.called = asyncio.Event()
        self.again = asyncio.Event()

    async def call(self) -> bool:
        (self.again if self.called.is_set() else self.called).set()
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            if self.again.is_set():
                raise
        return False


class DeafTopology(Topology):
    """The bus is looked after by it."""

    def __init__(self, deaf: Deaf) -> None:
        self.ensure = deaf.call  # type: ignore[method-assign]


class DeafMessage(NatsMessage):
    """The server is told by it that a message is worked on."""

    def __init__(self, called: Callable[[], Awaitable[bool]]) -> None:
        self._called = called

    async def in_progress(self) -> None:
        await self._called()


async def test_the_conformance_suite_ends_though_the_topology_is_looked_after_meanwhile(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(wire, "MEND_EVERY", 0)
    deaf = Deaf()
    mending = asyncio.create_task(wire._mend(DeafTopology(deaf)))
    await deaf.called.wait()
    mending.cancel()
    await asyncio.wait({mending}, timeout=2)
    assert mending.cancelled()


async def test_a_message_that_is_done_is_not_told_of_any_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settling, "ACK_WAIT", 0)
    deaf = Deaf()
    async with settling._kept(DeafMessage(deaf.call)):
        await deaf.called.wait()
        (telling,) = asyncio.all_tasks() - {asyncio.current_task()}
    await asyncio.wait({telling}, timeout=2)
    assert telling.cancelled()
    assert not deaf.again.is_set()

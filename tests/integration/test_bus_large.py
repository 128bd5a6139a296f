"""Messages as large as the server takes them: put aside like any other, though headers are added to them."""

from __future__ import annotations

import asyncio

import pytest

from services.chassis.bus import Bus
from services.chassis.letter import TRUNCATED
from services.cli.errors import CliError
from services.cli.retry import get_letter, publish_again
from services.contracts.messages import WorkspaceState
from services.contracts.subjects import Stream
from tests.integration.conftest import NatsServer
from tests.integration.test_bus import running, scheduler, state, until


async def test_a_poison_message_of_just_below_the_limit_is_put_aside_in_part(bus: Bus, nats_server: NatsServer) -> None:
    seen: list[WorkspaceState] = []
    most = bus.client.max_payload
    async with running(scheduler(nats_server, seen.append)):
        await bus.js.publish("kaito.workspace.default.bad", b"{" + b"x" * (most - 300))
        async with asyncio.timeout(60):
            while (await bus.js.stream_info(Stream.DLQ)).state.messages != 1:
                await asyncio.sleep(0.02)
        await bus.publish(state())
        await until(lambda: seen == [state()])
    letter = await get_letter(bus.js, 1)
    assert letter.body.startswith(b"{xxx")
    assert letter.truncated == f"{len(letter.body)} of {most - 299} bytes"
    raw = await bus.js.get_msg(Stream.DLQ, 1)
    assert (raw.headers or {})[TRUNCATED] == letter.truncated
    with pytest.raises(CliError, match="is only a part of the message"):
        await publish_again(bus.js, letter)

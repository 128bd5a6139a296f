"""A message that is worked on for long is not given to anybody else; one whose worker was killed is, soon."""

from __future__ import annotations

import asyncio

import pytest
from nats.aio.msg import Msg

from services.chassis import settling
from services.chassis.bus import Bus
from services.chassis.topology import consumer
from services.contracts.messages import WorkspaceState
from services.contracts.subjects import Stream
from tests.integration.conftest import NatsServer, service
from tests.integration.test_bus import running, state, until

DURABLE = "scheduler-workspaces"
ACK_WAIT = 0.3
ENOUGH = 12
"""Signs of work, of which there are three in each ACK_WAIT: long past the moment of a second delivery."""


async def test_a_message_that_is_worked_on_for_long_is_not_handed_out_again(
    bus: Bus, nats_server: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settling, "ACK_WAIT", ACK_WAIT)
    config = consumer(DURABLE, ["kaito.workspace.>"])
    config.ack_wait = ACK_WAIT
    await bus.js.add_consumer(Stream.WORKSPACES, config)
    began: list[WorkspaceState] = []
    done = asyncio.Event()
    signs: list[bytes] = []

    async def work(message: WorkspaceState) -> None:
        began.append(message)
        await done.wait()

    async def heard(sign: Msg) -> None:
        signs.append(sign.data)

    await bus.client.subscribe("$JS.ACK.>", cb=heard)
    made = service("scheduler", nats_server)
    made.bus.handle(WorkspaceState, Stream.WORKSPACES, DURABLE, "kaito.workspace.>", work)
    async with running(made):
        await bus.publish(state())
        await until(lambda: len(signs) >= ENOUGH)
        assert set(signs) == {b"+WPI"}
        info = await bus.js.consumer_info(Stream.WORKSPACES, DURABLE)
        assert (info.num_ack_pending, info.num_redelivered) == (1, 0)
        done.set()
        async with asyncio.timeout(60):
            while (await bus.js.consumer_info(Stream.WORKSPACES, DURABLE)).num_ack_pending:
                await asyncio.sleep(0.02)
    assert len(began) == 1

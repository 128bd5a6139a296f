"""A message that is worked on for long is not given to anybody else; one whose worker was killed is, soon."""

from __future__ import annotations

import asyncio

import pytest

from services.chassis import settling
from services.chassis.bus import Bus
from services.chassis.topology import consumer
from services.contracts.messages import WorkspaceState
from services.contracts.subjects import Stream
from tests.integration.conftest import NatsServer, service
from tests.integration.test_bus import running, state, until

DURABLE = "scheduler-workspaces"
ACK_WAIT = 0.3


async def test_a_message_that_is_worked_on_for_long_is_not_handed_out_again(
    bus: Bus, nats_server: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settling, "ACK_WAIT", ACK_WAIT)
    config = consumer(DURABLE, ["kaito.workspace.>"])
    config.ack_wait = ACK_WAIT
    await bus.js.add_consumer(Stream.WORKSPACES, config)
    began: list[WorkspaceState] = []

    async def work(message: WorkspaceState) -> None:
        began.append(message)
        await asyncio.sleep(4 * ACK_WAIT)

    made = service("scheduler", nats_server)
    made.bus.handle(WorkspaceState, Stream.WORKSPACES, DURABLE, "kaito.workspace.>", work)
    async with running(made):
        await bus.publish(state())
        await until(lambda: bool(began))
        async with asyncio.timeout(60):
            while (info := await bus.js.consumer_info(Stream.WORKSPACES, DURABLE)).num_ack_pending:
                assert info.num_redelivered == 0
                await asyncio.sleep(0.02)
    assert len(began) == 1

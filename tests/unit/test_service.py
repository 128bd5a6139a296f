"""A service ends in order, whatever happens on the way."""

from __future__ import annotations

import asyncio

import pytest

from deploy.local.ports import free_port
from services.chassis.service import Service, run
from services.chassis.settings import Settings


async def test_what_a_service_holds_is_closed_though_it_is_told_to_end_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    made = Service("deployer", Settings(nats_url="nats://127.0.0.1:9", http_port=free_port()))
    closed, saying_good_bye = asyncio.Event(), asyncio.Event()

    async def close() -> None:
        closed.set()

    async def hang() -> None:
        saying_good_bye.set()
        await asyncio.Event().wait()

    made.resources.push_async_callback(close)
    monkeypatch.setattr(made.bus, "close", hang)
    running = asyncio.create_task(made.run())
    await asyncio.sleep(0)
    running.cancel()
    async with asyncio.timeout(60):
        await saying_good_bye.wait()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    assert closed.is_set()


def test_what_a_service_holds_is_closed_though_it_cannot_be_wired(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.chassis.service.setup_logs", lambda _: None)  # other tests have logs of their own
    closed: list[bool] = []

    async def wire(service: Service) -> None:
        service.resources.callback(closed.append, True)
        raise ValueError("no such provider")

    with pytest.raises(ValueError, match="no such provider"):
        run("provisioner", Settings(nats_url="nats://127.0.0.1:9", http_port=free_port()), wire)
    assert closed == [True]

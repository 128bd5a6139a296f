"""What the loops log of a workspace, outside of any message, carries the ids of its trace."""

from __future__ import annotations

import asyncio
import io
import json
import logging
from collections.abc import Callable, Iterator
from typing import cast

import pytest

from services.chassis.bus import Bus
from services.chassis.keyed_queue import KeyedQueue
from services.chassis.kube import KubeClient
from services.chassis.logs import JsonFormatter, about, errand
from services.chassis.telemetry import Telemetry
from services.contracts.identity import root_span_id, trace_id
from services.contracts.messages import Message
from services.deployer.app import Looker
from services.deployer.deployer import Deployer
from services.deployer.manifests import Images
from services.watcher.state import to_state
from tests.unit.provisioner_cloud import demand
from tests.unit.samples import manifest, plan_state, workspace
from tests.unit.test_provisioner_silence import World
from tests.unit.watcher_fakes import FakeBus, Watcher

log = logging.getLogger("services.test")

Lines = Callable[[], list[dict[str, object]]]


@pytest.fixture
def lines() -> Iterator[Lines]:
    """What was logged since, as a service writes it."""
    written = io.StringIO()
    handler = logging.StreamHandler(written)
    handler.setFormatter(JsonFormatter())
    services = logging.getLogger("services")
    level = services.level
    services.addHandler(handler)
    services.setLevel(logging.DEBUG)
    yield lambda: [json.loads(line) for line in written.getvalue().splitlines()]
    services.removeHandler(handler)
    services.setLevel(level)


def ids(message: Message) -> dict[str, str]:
    return {
        "trace_id": f"{trace_id(message.uid, message.generation):032x}",
        "span_id": f"{root_span_id(message.uid, message.generation):016x}",
    }


def of(lines: Lines, text: str) -> dict[str, object]:
    """The line with that text, its ids alone."""
    (found,) = [line for line in lines() if text in str(line["message"])]
    return {name: found[name] for name in ("trace_id", "span_id") if name in found}


class TestAbout:
    """Whose trace a line belongs to."""

    def test_a_line_is_about_what_was_named_last(self, lines: Lines) -> None:
        with errand():
            about(plan_state())
            about(plan_state(generation=2))
            log.info("here")
        assert of(lines, "here") == ids(plan_state(generation=2))

    def test_what_follows_an_errand_is_about_nothing(self, lines: Lines) -> None:
        with errand():
            about(plan_state())
        log.info("here")
        assert of(lines, "here") == {}

    def test_a_span_knows_better(self, lines: Lines) -> None:
        with errand(), Telemetry(None, "test").span("work", plan_state(generation=3)):
            about(plan_state())
            log.info("here")
        assert of(lines, "here") == ids(plan_state(generation=3))

    async def test_each_look_of_a_queue_is_an_errand(self, lines: Lines) -> None:
        queue: KeyedQueue[str] = KeyedQueue()

        async def look(key: str) -> float:
            log.info("look at %s", key)
            about(plan_state())
            return 0

        for key in ("a", "b"):
            queue.add(key)
        worker = asyncio.create_task(queue.work(look))
        async with asyncio.timeout(60):
            while len(lines()) < 2:
                await asyncio.sleep(0)
        worker.cancel()
        assert (of(lines, "look at a"), of(lines, "look at b")) == ({}, {})


class Away:
    """An API server that does not answer, whatever it is asked."""

    def __getattr__(self, name: str) -> object:
        raise ConnectionError("the API server is away")


async def test_a_watcher_that_will_look_again(lines: Lines) -> None:
    watcher = Watcher()
    watcher.bus.away = True
    watcher.kube.put(manifest(generation=4))
    with errand():
        await watcher.publisher._look(("team", "w"))
    assert of(lines, "will look again: NATS is away") == ids(workspace(generation=4).identity)


async def test_a_watcher_that_cannot_say_that_one_is_gone(lines: Lines, monkeypatch: pytest.MonkeyPatch) -> None:
    watcher = Watcher()
    gone = to_state(workspace(generation=4), {})
    watcher.bus.put(gone)

    async def refuse(*_: object, **__: object) -> int:
        raise ConnectionError("refused")

    monkeypatch.setattr(watcher.bus, "publish", refuse)
    with errand():
        await watcher.publisher._look(("team", "w"))
    assert of(lines, "will look again: refused") == ids(gone)


async def test_a_deployer_that_will_look_again(lines: Lines) -> None:
    bus = FakeBus([])
    bus.put(plan_state(generation=5, retired=True))
    deployer = Deployer(cast(KubeClient, Away()), cast(Bus, bus), cast(Images, None), None)
    with errand():
        await Looker(deployer, {})._look(("team", "w"))
    assert of(lines, "will look again: the API server is away") == ids(plan_state(generation=5))


async def test_a_provisioner_that_looks_later(lines: Lines, monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(demand(), monkeypatch)

    async def refuse(*_: object, **__: object) -> int:
        raise ConnectionError("refused")

    monkeypatch.setattr(world.bus, "publish", refuse)
    with errand():
        await world.loop._pass_again(world.wanted.key)
    assert of(lines, "a change is looked at later") == ids(world.wanted)
    assert of(lines, "machine asked for") == ids(world.wanted)

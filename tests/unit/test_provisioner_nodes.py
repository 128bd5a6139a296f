"""What befalls a node is told to the loop at once, whoever hears of it first."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from services.chassis.kube import NODES, JsonObject, KubeClient, dig_str
from services.provisioner.node_facts import demanded_labels
from services.provisioner.nodes import Nodes
from services.provisioner.provider import InstanceSpec, Key, Owner
from services.provisioner.providers.fake.faults import Faults
from services.provisioner.providers.fake.keeper import Keeper
from services.provisioner.providers.fake.node import FAILS, VANISHES, booted_status, new_node
from services.provisioner.providers.fake.settings import FakeSettings
from tests.unit.provisioner_cloud import START, demand
from tests.unit.scripted_api_server import Reply, ScriptedApiServer, listing, watching

SPEC = InstanceSpec(
    name="fake-a-0", owner=Owner.of(demand()), instance_type="Standard_NC24ads_A100_v4",
    labels=demanded_labels(demand(), simulated=True),
)  # fmt: skip
OWNER = demand().key


def node(*conditions: JsonObject, **fate: str) -> JsonObject:
    """A machine that has booted, and what is to befall it."""
    made = new_node(SPEC, START, START + timedelta(seconds=1), fate)
    found = made | {"status": booted_status(made, None, START) | ({"conditions": conditions} if conditions else {})}
    return {**found, "apiVersion": NODES.api_version, "kind": NODES.kind}


@asynccontextmanager
async def following(
    server: ScriptedApiServer, *known: JsonObject
) -> AsyncIterator[tuple[Nodes, KubeClient, list[Key]]]:
    """Nodes that have been listed, and who is told of changes. The watch is silent, unless it has a script."""
    told: list[Key] = []
    server.replies.append(listing(*known))
    async with server.run() as client:
        nodes = Nodes(client, "fake")
        nodes.changed = told.append
        task = asyncio.create_task(nodes.run())
        await until(lambda: nodes.synced)
        yield nodes, client, told
        task.cancel()


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.01)


async def test_what_the_watch_brings_is_told(tmp_path: Path) -> None:
    server = ScriptedApiServer(tmp_path)
    server.watches.append(watching(("DELETED", node()), then="hang"))
    async with following(server, node()) as (nodes, _, told):
        await until(lambda: told == [OWNER])
        assert not list(nodes.all())


def taint(key: str) -> JsonObject:
    return {"key": key, "effect": "NoSchedule"}


async def test_what_kubernetes_repeats_in_taints_is_no_news_and_what_others_put_there_is(tmp_path: Path) -> None:
    server = ScriptedApiServer(tmp_path)
    server.watches.append(
        watching(
            ("MODIFIED", node() | {"spec": {"taints": [taint("node.kubernetes.io/not-ready")]}}),
            ("MODIFIED", node()),
            ("MODIFIED", node() | {"spec": {"taints": [taint("sku")]}}),
            then="hang",
        )
    )
    async with following(server, node()) as (nodes, _, told):
        await until(lambda: told)
        assert [dig_str(n, "spec", "taints", 0, "key") for n in nodes.all()] == ["sku"]
        assert told == [OWNER]


Actor = Callable[[KubeClient, Nodes], Coroutine[None, None, None]]


async def fakes_faults(kube: KubeClient, nodes: Nodes) -> None:
    await Faults(kube, nodes, FakeSettings()).run()


async def fakes_keeper(kube: KubeClient, nodes: Nodes) -> None:
    await Keeper(kube, nodes, {}, FakeSettings()).run()


def answer(one: JsonObject) -> Reply:
    return Reply(json.dumps(one).encode())


SICK: JsonObject = {"type": "Ready", "status": "False", "reason": "Test", "lastTransitionTime": "2026-01-01T00:00:00Z"}


@pytest.mark.parametrize(
    ("actor", "fate", "answers"),
    [
        (fakes_faults, VANISHES, [listing(), answer({"kind": "Status", "status": "Success"})]),
        (fakes_keeper, FAILS, [answer(node(SICK))]),
    ],
)
async def test_what_the_fake_cloud_does_is_told_before_the_watch_says_so(
    actor: Actor, fate: str, answers: list[Reply], tmp_path: Path
) -> None:
    """It takes in its own writes at once, so what the watch brings later is nothing new: nobody else would tell."""
    server = ScriptedApiServer(tmp_path)
    async with following(server, node(**{fate: START.isoformat()})) as (nodes, kube, told):
        server.replies.extend(answers)
        acting = asyncio.create_task(actor(kube, nodes))
        await until(lambda: told == [OWNER])
        acting.cancel()

"""The provisioner with the provider `local`: its machines are real node agents, started as processes."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.chassis.kube import NODES, ObjectRef, dig, dig_dict, dig_str
from services.contracts.errors import FailureCode
from services.contracts.messages import Report
from services.provisioner.provider import instance_name
from tests.kubernetes.provisioner_fixtures import World, ready, until, world

__all__ = ["world"]
pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The provider's folder. Its agents end with the test, whatever became of it."""
    folder = tmp_path / "nodes"
    monkeypatch.setenv("KAITOBUS_LOCAL_STATE_DIR", str(folder))
    yield folder
    for record in folder.glob("instances/*.json"):
        pid = agent_pid(folder, record.stem)
        if pid is not None and alive(pid):
            os.killpg(pid, signal.SIGKILL)


def agent_pid(state: Path, name: str) -> int | None:
    try:
        record = json.loads((state / "instances" / f"{name}.json").read_bytes())
    except FileNotFoundError:
        return None
    pid = dig(record, "agent", "pid")
    return pid if isinstance(pid, int) else None


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


async def gone(world: World, state: Path, name: str) -> bool:
    node = await world.kube.get(ObjectRef(NODES, name))
    return node is None and not (state / "instances" / f"{name}.json").exists() and not (state / name).exists()


async def started(world: World) -> Report:
    """One machine is demanded, and ready."""
    await world.bus.publish(world.demand(1, provider="local", size="local-4gi"))
    return await world.until_report(ready, provider="local")


async def let_go(world: World) -> None:
    await world.bus.publish(world.demand(0, 99, provider="local", size="local-4gi"))
    await world.until_report(lambda r: r.released, 40, provider="local")


async def test_a_demand_becomes_a_node_agent_and_zero_leaves_nothing_behind(world: World, state: Path) -> None:
    name = instance_name("local", world.uid, 0)
    async with world.provisioner("local"):
        said = await started(world)
        assert not any(c.message.startswith("Simulated") for c in said.conditions)
        node = await world.kube.get(ObjectRef(NODES, name))
        labels = dig_dict(node, "metadata", "labels")
        assert (labels["apps"], labels["kaito.sh/provider"]) == (world.name, "local")
        assert "kaito.sh/simulated" not in labels
        assert dig_str(node, "status", "capacity", "memory").startswith("4")
        assert oct((state / "instances" / f"{name}.json").stat().st_mode & 0o777) == "0o600"
        pid = agent_pid(state, name)
        assert pid is not None
        assert b"NATS" not in Path(f"/proc/{pid}/environ").read_bytes()
        await let_go(world)
        assert not alive(pid)
        assert await gone(world, state, name)


async def test_the_agent_outlives_the_provisioner_and_is_adopted(world: World, state: Path) -> None:
    name = instance_name("local", world.uid, 0)
    async with world.provisioner("local"):
        await started(world)
        pid = agent_pid(state, name)
    assert pid is not None
    assert alive(pid)
    async with world.provisioner("local"):
        await world.bus.publish(world.demand(1, 2, provider="local", size="local-4gi"))
        await world.until_report(lambda r: r.plan_revision == 2 and ready(r), provider="local")
        assert agent_pid(state, name) == pid
        await let_go(world)


async def test_a_dead_agent_is_started_again(world: World, state: Path) -> None:
    name = instance_name("local", world.uid, 0)
    async with world.provisioner("local"):
        await started(world)
        pid = agent_pid(state, name)
        assert pid is not None
        os.kill(pid, signal.SIGKILL)

        async def another() -> bool:
            return agent_pid(state, name) not in (None, pid)

        await until(another)
        await world.until_report(ready, provider="local")
        await let_go(world)


async def test_an_agent_that_nobody_recorded_is_found_and_adopted(world: World, state: Path) -> None:
    """As after a crash between the start of the agent and the writing of its pid."""
    name = instance_name("local", world.uid, 0)
    async with world.provisioner("local"):
        await started(world)
    pid = agent_pid(state, name)
    path = state / "instances" / f"{name}.json"
    record = json.loads(path.read_bytes())
    del record["agent"]
    path.write_text(json.dumps(record))
    async with world.provisioner("local"):

        async def adopted() -> bool:
            return agent_pid(state, name) == pid

        await until(adopted)
        await let_go(world)
    assert pid is not None
    assert not alive(pid)


async def test_a_size_that_this_machine_cannot_give_is_refused_in_plain_words(world: World, state: Path) -> None:
    async with world.provisioner("local"):
        await world.bus.publish(world.demand(1, provider="local", size="local-65536gi"))
        said = await world.until_report(lambda r: r.failure, provider="local")
        assert said.failure is not None
        assert said.failure.code is FailureCode.INSUFFICIENT_CAPACITY
        assert "GiB free, local-65536gi needs 65536 GiB" in said.failure.message
        await let_go(world)


async def test_an_agent_that_cannot_start_fails_with_its_last_words(
    world: World, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KAITOBUS_LOCAL_AGENT", '["sh", "-c", "echo no luck today; exit 3"]')
    async with world.provisioner("local"):
        await world.bus.publish(world.demand(1, provider="local", size="local-4gi"))
        said = await world.until_report(lambda r: r.failure, 60, provider="local")
        assert said.failure is not None
        assert said.failure.message.endswith("has died 4 times in a row: no luck today")
        await let_go(world)


async def test_two_provisioners_start_one_agent(world: World, state: Path) -> None:
    name = instance_name("local", world.uid, 0)
    async with world.provisioner("local"), world.provisioner("local"):
        for revision in range(1, 4):
            await world.bus.publish(world.demand(1, revision, provider="local", size="local-4gi"))
        await world.until_report(lambda r: r.plan_revision == 3 and ready(r), provider="local")
        process = await asyncio.create_subprocess_exec(
            "pgrep", "-f", "-c", f"state-dir={state / name}", stdout=asyncio.subprocess.PIPE
        )
        output, _ = await process.communicate()
        assert int(output) == 1
        await let_go(world)

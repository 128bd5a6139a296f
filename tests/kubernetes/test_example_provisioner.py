"""The example of "Write a provisioner": installed as a reader would, on the real loop, bus and API server."""

from __future__ import annotations

import json
import stat
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from services.chassis.kube import NODES, JsonObject, ObjectRef, dig_dict, dig_dicts
from services.contracts.errors import FailureCode
from services.provisioner.provider import instance_name
from tests.kubernetes.provisioner_fixtures import World, ready, world

__all__ = ["world"]
pytestmark = pytest.mark.asyncio(loop_scope="session")

EXAMPLES = Path(__file__).parents[2] / "examples" / "provisioners"

RACK = f"""#!{sys.executable}
# A rack of three machines, each a file. The reader's own command stands here.
import datetime, fcntl, json, pathlib, sys
room = pathlib.Path(__file__).parent / "machines"
room.mkdir(exist_ok=True)
lock = (room.parent / "lock").open("w")
fcntl.flock(lock, fcntl.LOCK_EX)
word = sys.argv[1]
if word == "list":
    print(json.dumps([json.loads(path.read_text()) for path in sorted(room.iterdir())]))
elif word == "delete":
    (room / sys.argv[2]).unlink(missing_ok=True)
else:
    spec = json.load(sys.stdin)
    place = room / spec["name"]
    if not place.exists():
        if len(list(room.iterdir())) == 3:
            sys.exit(sys.stderr.write("all three machines are taken") and 4)
        now = datetime.datetime.now(datetime.timezone.utc).isoformat()
        place.write_text(json.dumps({{"id": spec["name"], "name": spec["name"], "owner": spec["owner"],
            "instanceType": spec["instanceType"], "createdAt": now, "launchedAt": now, "state": "running",
            "nodeName": spec["name"], "labels": spec["labels"]}}))
    print(place.read_text())
"""


@pytest.fixture
def rack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The command, and the provider installed as a distribution with an entry point. Returns the machines' folder."""
    command = tmp_path / "rack"
    command.write_text(RACK)
    command.chmod(command.stat().st_mode | stat.S_IXUSR)
    info = tmp_path / "site" / "rack_provider-1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: rack-provider\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[kaitobus.providers]\nrack = minimal:make\n")
    monkeypatch.syspath_prepend(str(info.parent))
    monkeypatch.syspath_prepend(str(EXAMPLES))
    monkeypatch.setenv("RACK_COMMAND", str(command))
    return tmp_path / "machines"


async def join(world: World, name: str) -> None:
    """What a machine's kubelet does: register the node, bare, with its GPU, and say that it is ready."""
    await world.kube.create(NODES, {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}})
    gpu = {"nvidia.com/gpu": "1"}
    ready = {"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T12:00:00Z"}
    status: JsonObject = {"status": {"allocatable": gpu, "capacity": gpu, "conditions": [ready]}}
    await world.kube.merge_patch(ObjectRef(NODES, name), status, subresource="status")


async def test_a_demand_becomes_machines_of_the_command_and_zero_lets_go_of_them(world: World, rack: Path) -> None:
    names = [instance_name("rack", world.uid, index) for index in range(2)]
    async with world.provisioner("rack"):
        await world.bus.publish(world.demand(2, provider="rack", size="rack.l4"))
        await world.until_report(
            lambda r: r.conditions and "has not joined the cluster" in r.conditions[1].message, provider="rack"
        )
        assert machines(rack) == names
        for name in names:
            await join(world, name)
        await world.until_report(ready, provider="rack")
        for node in await world.nodes():
            assert dig_dict(node, "metadata", "labels")["apps"] == world.name
            assert {"key": "sku", "value": "gpu", "effect": "NoSchedule"} in dig_dicts(node, "spec", "taints")

        await world.bus.publish(world.demand(0, 2, provider="rack", size="rack.l4"))
        await world.until_report(lambda r: r.released, provider="rack")
    assert machines(rack) == []
    assert await world.node_names() == []


async def test_a_machine_that_fails_late_is_in_the_report_within_five_seconds(world: World, rack: Path) -> None:
    """A provider that does not watch is asked; also for a machine that has been on its way for long."""
    async with world.provisioner("rack", refusal_seconds=60):
        await world.bus.publish(world.demand(1, provider="rack", size="rack.l4"))
        await world.until_report(lambda r: "has not joined the cluster" in str(r.conditions), provider="rack")
        long_ago = (datetime.now(UTC) - timedelta(minutes=4)).isoformat()
        change(rack, createdAt=long_ago, launchedAt=long_ago)
        clock = f"runs since {long_ago[11:19]} UTC"
        await world.until_report(lambda r: clock in str(r.conditions), provider="rack")
        change(rack, state="failed", failure={"code": "Internal", "message": "the power supply has burnt out"})
        said = await world.until_report(lambda r: r.failure, 5, provider="rack")
        assert said.failure is not None
        assert said.failure.message == "the power supply has burnt out"


def change(rack: Path, **fields: object) -> None:
    """Something happens to the one machine. Nobody reads half a file."""
    (place,) = rack.iterdir()
    draft = rack.parent / "draft"
    draft.write_text(json.dumps(json.loads(place.read_text()) | fields))
    draft.replace(place)


async def test_what_the_command_says_on_stderr_is_reported_with_its_code(world: World, rack: Path) -> None:
    async with world.provisioner("rack"):
        await world.bus.publish(world.demand(4, provider="rack", size="rack.l4"))
        refused = await world.until_report(lambda r: r.failure, provider="rack")
        assert refused.failure is not None
        assert (refused.failure.code, refused.failure.message) == (
            FailureCode.INSUFFICIENT_CAPACITY,
            "all three machines are taken",
        )
        assert "the cloud is asked again at" in str(refused.next_step)


def machines(rack: Path) -> list[str]:
    return sorted(path.name for path in rack.iterdir())

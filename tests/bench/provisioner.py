"""The provisioner's figures: `python -m tests.bench.provisioner`. About three minutes.

1,000 demands of one node each, on a fake cloud whose machines boot for 60 seconds; the loop, the bus and the
API server are real.
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
import time
import uuid
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import nats
from nats.aio.msg import Msg
from nats.js.api import DeliverPolicy

from deploy.local.binaries import ensure_control_plane
from deploy.local.controlplane import ControlPlane
from deploy.local.process import spawn
from services.chassis.bus import Bus
from services.chassis.kube import NODES, KubeClient, dig_str
from services.chassis.metrics import Metrics
from services.chassis.settings import Settings
from services.chassis.telemetry import Telemetry
from services.contracts.messages import Demand, Report
from services.contracts.subjects import Stream
from services.provisioner.node_facts import moment
from services.provisioner.providers.fake.node import CREATED
from tests.bench.figure import Figure, table
from tests.stack import Stack, running

NAMESPACE = "bench"
SIZE = "Standard_NC24ads_A100_v4"
BOOT = 60.0
SETTINGS = {"KAITOBUS_FAKE_BOOT_SECONDS": str(BOOT), "KAITOBUS_COLLECT_SECONDS": "3600", "KAITOBUS_CLOUD_RATE": "100"}
"""No garbage is collected: there are no Workspaces behind these demands. The fake cloud allows more creations a second
than clouds do, and than a provisioner asks for by default: at 20 a second the last would be asked for after 50 s.
"""


@dataclass
class Heard:
    """When each demand was first reported ready, and released, by the clock of this process."""

    ready: dict[str, float] = field(default_factory=dict)
    released: dict[str, float] = field(default_factory=dict)

    def take(self, report: Report) -> None:
        """Take in one report."""
        if report.conditions and all(c.is_true for c in report.conditions):
            self.ready.setdefault(report.name, time.time())
        if report.released:
            self.released.setdefault(report.name, time.time())


def main() -> None:
    """Measure and print."""
    sys.stdout.write(f"{os.cpu_count()} CPUs, load {os.getloadavg()[0]:.1f}\n")
    sys.stdout.write(table(asyncio.run(measure())) + "\n")


async def measure(demands: int = 1000) -> list[Figure]:
    """On a control plane and a NATS of its own."""
    with tempfile.TemporaryDirectory(prefix="kaitobus-bench-") as folder:
        plane = await ControlPlane.prepare(await ensure_control_plane(_quiet), Path(folder) / "kubernetes")
        try:
            await plane.start()
            async with running(Path(folder) / "stack", plane, SETTINGS, spawn) as stack:
                await stack.start("nats", "watcher-1", "provisioner-fake-1")
                return await measure_provisioner(stack, demands)
        finally:
            await plane.stop()


async def measure_provisioner(stack: Stack, demands: int = 1000) -> list[Figure]:
    """The figures on a stack whose NATS, watcher (for the streams) and fake provisioner run, with `SETTINGS`."""
    bus = Bus(Settings(nats_url=stack.state.nats_url), Telemetry(None, "bench"), Metrics())
    await bus.connect()
    wanted = [_demand(number) for number in range(demands)]
    idle = _resident(stack)
    async with _hearing(stack) as heard:
        sent = await _publish(bus, wanted)
        await _until(lambda: len(heard.ready) == demands, 240, lambda: f"{len(heard.ready)} of {demands} ready")
        made = await _created(stack.kube)
        held = _resident(stack)
        ready = max(heard.ready.values()) - min(sent.values())
        per_thousand = (held - idle) * 1000 / demands
        await _publish(bus, [d.model_copy(update={"nodes": 0, "plan_revision": 2}) for d in wanted])
        await _until(
            lambda: len(heard.released) == demands, 240, lambda: f"{len(heard.released)} of {demands} released"
        )
    left = len((await stack.kube.list(NODES)).items)
    await bus.close()
    calls = tuple(1000 * (made[name] - at) for name, at in sent.items() if name in made)
    return [
        Figure(f"{demands} demands, {BOOT:.0f} s boot, all ready", "s", (ready,), 90),
        Figure("duplicate nodes (+1)", "", (float(1 + len(made) - demands),), 1),
        Figure("nodes left behind (+1)", "", (1.0 + left,), 1),
        Figure("memory per 1,000 nodes held", "MB", (per_thousand,), 120),
        Figure(f"demand to first cloud call, {demands} at once", "ms", calls, float("inf")),
        *(await _singly(stack)),
    ]


async def _singly(stack: Stack, demands: int = 100) -> list[Figure]:
    """One demand after the other: what a single workspace waits for its first call."""
    bus = Bus(Settings(nats_url=stack.state.nats_url), Telemetry(None, "bench"), Metrics())
    await bus.connect()
    wanted = [_demand(10_000 + number) for number in range(demands)]
    sent = await _publish(bus, wanted, pause=0.05)
    async with asyncio.timeout(60):
        while len(made := await _created(stack.kube)) < demands:
            await asyncio.sleep(0.2)
    await bus.close()
    calls = tuple(1000 * (made[name] - at) for name, at in sent.items())
    return [Figure("demand to first cloud call", "ms", calls, 200)]


def _demand(number: int) -> Demand:
    return Demand(
        namespace=NAMESPACE, name=f"d-{number}", uid=str(uuid.uuid4()), generation=1, plan_revision=1,
        provider="fake", nodes=1, instance_type=SIZE, taints=("sku=gpu:NoSchedule",),
    )  # fmt: skip


async def _publish(bus: Bus, demands: Sequence[Demand], pause: float = 0.0) -> dict[str, float]:
    """When each was published."""
    sent = {}
    for demand in demands:
        sent[demand.name] = time.time()
        await bus.publish(demand)
        await asyncio.sleep(pause)
    return sent


@asynccontextmanager
async def _hearing(stack: Stack) -> AsyncIterator[Heard]:
    client = await nats.connect(stack.state.nats_url)
    heard = Heard()

    async def take(message: Msg) -> None:
        heard.take(Report.model_validate_json(message.data))

    await client.jetstream().subscribe(
        f"kaito.report.*.{NAMESPACE}.>",
        stream=Stream.HISTORY,
        ordered_consumer=True,
        deliver_policy=DeliverPolicy.NEW,
        cb=take,
    )
    yield heard
    await client.close()


async def _created(kube: KubeClient) -> dict[str, float]:
    """When the fake cloud was called for each workspace's machine; two machines of one are told apart."""
    found: dict[str, float] = {}
    for node in (await kube.list(NODES)).items:
        at = moment(dig_str(node, "metadata", "annotations", CREATED))
        name = dig_str(node, "metadata", "labels", "kaito.sh/workspace")
        found[name if name not in found else dig_str(node, "metadata", "name")] = _seconds(at)
    return found


def _seconds(at: datetime | None) -> float:
    return at.timestamp() if at else 0.0


async def _until(done: Callable[[], bool], seconds: float, otherwise: Callable[[], str]) -> None:
    try:
        async with asyncio.timeout(seconds):
            while not done():
                await asyncio.sleep(0.05)
    except TimeoutError:
        raise SystemExit(f"after {seconds:.0f} s {otherwise()}") from None


def _resident(stack: Stack) -> float:
    """Of the provisioner, in MB (10^6 bytes), from VmRSS of proc_pid_status(5), which is in KiB."""
    lines = Path(f"/proc/{stack.pid('provisioner-fake-1')}/status").read_text().splitlines()
    (found,) = [line.split()[1] for line in lines if line.startswith("VmRSS:")]
    return int(found) * 1024 / 1e6


def _quiet(_: str) -> None:
    """Nothing to tell."""


if __name__ == "__main__":
    main()

"""`python -m tests.bench [plan] [hop] [apply] [refusals] [provisioner] [up]`: measures on real parts, prints a table.

About seven minutes for all. `start` and `served` measure the engine's start and what it serves beside the bare engine,
which takes longer: `python -m tests.bench start --help`.
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from deploy.local.binaries import ensure_control_plane
from deploy.local.controlplane import ControlPlane
from deploy.local.process import spawn
from tests.bench import served, start
from tests.bench.figure import Figure, table
from tests.bench.hop import measure_alone, measure_hop
from tests.bench.plan import measure_plans
from tests.bench.provisioner import measure
from tests.bench.refusals import measure_refusals
from tests.bench.up import measure_up
from tests.bench.workload import delete_all, measure_apply, measure_kubectl, measure_memory
from tests.stack import Stack, running

ALL = ("plan", "hop", "apply", "refusals", "provisioner", "up")


def main() -> None:
    """Measure what the arguments name, by default all but those of the engine alone."""
    first = sys.argv[1] if len(sys.argv) > 1 else ""
    if alone := {"start": start.main, "served": served.main}.get(first):
        alone(sys.argv[2:])
        return
    wanted = tuple(sys.argv[1:]) or ALL
    if unknown := [name for name in wanted if name not in ALL]:
        sys.exit(f"There is no figure {unknown[0]}. There are: {', '.join(ALL)}, start, served.")
    _say(f"{os.cpu_count()} CPUs, load {os.getloadavg()[0]:.1f}: other work on the machine shows in the figures.")
    if "plan" in wanted:
        _say("plan ...")
        _say(table(measure_plans()))
    with tempfile.TemporaryDirectory(prefix="kaitobus-bench-") as folder:
        figures = asyncio.run(_on_a_stack(Path(folder), wanted))
        if figures:
            _say(table(figures))
        if "provisioner" in wanted:
            _say("provisioner ...")
            _say(table(asyncio.run(measure())))
        if "up" in wanted:
            _say("kaitobus up ...")
            _say(table([measure_up(Path(folder))]))


async def _on_a_stack(folder: Path, wanted: Sequence[str]) -> list[Figure]:
    if not {"hop", "apply", "refusals"} & set(wanted):
        return []
    figures: list[Figure] = []
    if "hop" in wanted:
        _say("hop ...")
        figures.append(await measure_alone(folder / "nats"))
    plane = await ControlPlane.prepare(await ensure_control_plane(_say), folder / "kubernetes")
    try:
        await plane.start()
        async with running(folder / "stack", plane, {}, spawn) as stack:
            await stack.start()
            return figures + await _figures(stack, wanted, folder)
    finally:
        await plane.stop()


async def _figures(stack: Stack, wanted: Sequence[str], folder: Path) -> list[Figure]:
    figures: list[Figure] = []
    if "hop" in wanted:
        _say("hop beside all services ...")
        figures.append(await measure_hop(stack.state.nats_url, "all beside"))
    if "apply" in wanted:
        _say("apply ...")
        figures += [await measure_apply(stack), *measure_memory(stack)]
        _say(f"all deleted in {await delete_all(stack):.1f} s")
        figures.append(await measure_kubectl(stack))
    if "refusals" in wanted:
        _say("refusals ...")
        figures += await measure_refusals(stack, folder / "clouds")
    return figures


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()

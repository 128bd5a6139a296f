"""Ends what `up` started on this machine, by process id and start time, and removes its folder."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Sequence
from pathlib import Path

from deploy.local.cluster import KUBERNETES
from deploy.local.nats import NATS
from deploy.local.nodes import end_nodes
from deploy.local.process import RunningProcess, is_alive, terminate
from deploy.local.records import records
from deploy.local.state import LocalState, read_state
from deploy.local.steps import Steps
from deploy.local.supervised import turn
from deploy.local.up import SUPERVISOR

CONTROL_PLANE_ORDER = (("kube-scheduler", "kube-controller-manager"), ("kube-apiserver",), ("etcd",))
"""In which the control plane ends: the API server still needs etcd while it finishes."""


def stop_platform(folder: Path, steps: Steps) -> None:
    """End everything and remove the folder; does nothing where nothing is. Raises ProcessError or OSError."""
    if not folder.is_dir():
        steps.say(f"Nothing to end: there is no {folder}.")
        return
    state = read_state(folder)
    with turn(folder, lambda: steps.say("Another `kaitobus up` or `down` is at work here; waiting for it.")):
        asyncio.run(_end_all(folder, steps))
        shutil.rmtree(folder)
    steps.say(f"All is ended, and {folder} is removed.")
    if state and not state.own_cluster:
        _say_what_stays(state, steps)


async def _end_all(folder: Path, steps: Steps) -> None:
    """Services first, so that nothing is started anew; then what they ran; the supervisor last, as it reaps."""
    own = {process.name: process for process in records(folder / "run") if is_alive(process)}
    control_plane = {process.name: process for process in records(folder / KUBERNETES / "run") if is_alive(process)}
    await _end("Services", [process for name, process in own.items() if name not in (NATS, SUPERVISOR)], steps)
    if (folder / "nodes").is_dir():
        with steps.step("Nodes and their pods"):
            await end_nodes(folder / "nodes")
    await _end("NATS", [own[NATS]] if NATS in own else [], steps)
    for names in CONTROL_PLANE_ORDER:
        await _end(", ".join(names), [control_plane[name] for name in names if name in control_plane], steps)
    await _end("Supervisor", [own[SUPERVISOR]] if SUPERVISOR in own else [], steps)


async def _end(title: str, processes: Sequence[RunningProcess], steps: Steps) -> None:
    """End processes side by side; nothing is said where there are none."""
    if processes:
        with steps.step(title):
            await asyncio.gather(*(terminate(process) for process in processes))


def _say_what_stays(state: LocalState, steps: Steps) -> None:
    steps.say(
        f"The cluster of {state.kubeconfig} goes on. Its Workspaces, the CRD workspaces.kaito.sh and what was made "
        "for the Workspaces stay in it; services that are started again go on with them."
    )

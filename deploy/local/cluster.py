"""Which cluster `up` works on: the one that KUBECONFIG names, or a control plane of its own."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

from deploy.local.binaries import Binaries
from deploy.local.controlplane import ControlPlane
from deploy.local.state import LocalState, StateError
from deploy.local.supervised import Supervised

KUBERNETES = "kubernetes"
"""Folder of the control plane below the state folder."""


def own_kubeconfig(folder: Path) -> Path:
    """Where a person finds the kubeconfig of the control plane that `up` starts."""
    return folder / "kubeconfig"


def foreign_kubeconfig(folder: Path, before: LocalState | None) -> Path | None:
    """The kubeconfig that $KUBECONFIG names, if it is not the one of our own control plane.

    Raises StateError where the file is not there, or where an earlier `up` works on another cluster.
    """
    named = os.environ.get("KUBECONFIG", "")
    path = Path(named).expanduser().absolute() if named else None
    if path == own_kubeconfig(folder):
        path = None
    if path and os.pathsep not in named and not path.is_file():
        raise StateError(f"KUBECONFIG names {named}, which is not there. Unset it to start a cluster on this machine.")
    _check_unchanged(before, path)
    return path


def _check_unchanged(before: LocalState | None, path: Path | None) -> None:
    now = str(path) if path else "a control plane of its own"
    if before is None or (before.own_cluster and path is None) or before.kubeconfig == path:
        return
    then = "a control plane of its own" if before.own_cluster else str(before.kubeconfig)
    raise StateError(
        f"What runs here works on {then}, and KUBECONFIG now asks for {now}. "
        "End it first with `make down`, or set KUBECONFIG back."
    )


def start_control_plane(binaries: Binaries, folder: Path, note: Callable[[str], None]) -> ControlPlane:
    """Start what does not run yet of the control plane. Raises ProcessError."""
    control_plane = asyncio.run(_start(binaries, folder, note))
    link = own_kubeconfig(folder)
    link.unlink(missing_ok=True)
    link.symlink_to(control_plane.kubeconfig.relative_to(folder))
    return control_plane


def supervised(control_plane: ControlPlane) -> list[Supervised]:
    """Its processes, for the supervisor."""
    return [Supervised(spec=spec, run_folder=control_plane.run_folder) for spec in control_plane.processes]


async def _start(binaries: Binaries, folder: Path, note: Callable[[str], None]) -> ControlPlane:
    control_plane = await ControlPlane.prepare(binaries, folder / KUBERNETES)
    note("etcd, API server, controller-manager, scheduler")
    await control_plane.start()
    return control_plane

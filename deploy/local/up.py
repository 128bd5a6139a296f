"""Starts Kaito Bus on this machine, and picks up what is there already."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from deploy.crds import crd_for
from deploy.local.answering import NotAnswering, wait_for_all
from deploy.local.binaries import Binaries, BinariesError, ensure_control_plane
from deploy.local.cluster import foreign_kubeconfig, own_kubeconfig, start_control_plane, supervised
from deploy.local.controlplane import ControlPlane
from deploy.local.engine import EngineEnv, EngineSetupError, ensure_engine, ensure_model
from deploy.local.kubectl import kubectl, server_version
from deploy.local.nats import NATS, NATS_MONITOR, drop_torn, nats_process, nats_url
from deploy.local.node_settings import node_settings
from deploy.local.ports import assign_ports
from deploy.local.process import ProcessError, ProcessSpec, alive, spawn, terminate
from deploy.local.services import MODULES, service_processes
from deploy.local.state import (
    RECORD,
    LocalState,
    StateError,
    make_state_folder,
    read_state,
    write_private,
)
from deploy.local.steps import Steps
from deploy.local.supervised import Supervised, read_list, turn, write_list
from services.chassis.kube import JsonObject, dig_dicts

SUPERVISOR = "supervisor"
ESTABLISHED_SECONDS = 30.0
READY_SECONDS = 60.0
"""How long services may take to be ready. Usual are 3 s on 2 cores."""

FAILURES = (StateError, BinariesError, EngineSetupError, ProcessError, NotAnswering, OSError)
"""What `start_platform` raises; the message of each is for a person."""


def start_platform(folder: Path, steps: Steps) -> LocalState:
    """Start what does not run yet, and return where everything is. Raises one of `FAILURES`."""
    before = read_state(folder)
    foreign = foreign_kubeconfig(folder, before)
    make_state_folder(folder)
    with turn(folder, lambda: steps.say("Another `kaitobus up` or `down` is at work here; waiting for it.")):
        make_state_folder(folder)  # once more: a `down` that was waited for has removed it
        binaries = None if foreign else _binaries(steps)
        engine, model = _engine(steps)
        ports = assign_ports(folder / "ports.json", (NATS, NATS_MONITOR, *MODULES), _running(folder))
        state = LocalState(
            folder=folder,
            kubeconfig=foreign or own_kubeconfig(folder),
            nats_url=nats_url(ports[NATS], before),
            own_cluster=foreign is None,
        )
        write_private(folder / RECORD, state.model_dump_json(indent=2).encode())
        control_plane = _control_plane(binaries, state, steps)
        _apply_crds(state, steps)
        settings = node_settings(state, engine, model.parent, control_plane.config.pki if control_plane else None)
        drop_torn(state)
        services = [nats_process(state, ports[NATS_MONITOR]), *service_processes(state, ports, settings)]
        _hand_over(state, supervised(control_plane) if control_plane else [], services)
    _wait(services, steps)
    return state


def _running(folder: Path) -> list[str]:
    """The names of ports whose processes live, so that they keep them."""
    names = [name for name in (NATS, *MODULES) if alive(name, folder / "run")]
    return [*names, NATS_MONITOR] if NATS in names else names


def _binaries(steps: Steps) -> Binaries:
    with steps.step("Kubernetes programs", "a download, or about 8 minutes of building where none can be had") as note:
        return asyncio.run(ensure_control_plane(note))


def _engine(steps: Steps) -> tuple[EngineEnv, Path]:
    with steps.step("Engine (vLLM for CPUs)", "about 3 minutes and 2.8 GB the first time") as note:
        engine = ensure_engine(note)
    with steps.step("Model (SmolLM2-135M-Instruct)", "about a minute and 0.4 GB the first time") as note:
        return engine, ensure_model(note)


def _control_plane(binaries: Binaries | None, state: LocalState, steps: Steps) -> ControlPlane | None:
    if binaries is None:
        steps.say(f"Working on the cluster of {state.kubeconfig}; no control plane is started.")
        return None
    with steps.step("Kubernetes control plane") as note:
        return start_control_plane(binaries, state.folder, note)


def _apply_crds(state: LocalState, steps: Steps) -> None:
    with steps.step("Workspace resource"):
        crd = str(crd_for(server_version(kubectl(state, "version", "-o", "json"))))
        kubectl(state, "apply", "--server-side", "--force-conflicts", "--field-manager=kaitobus", "-f", crd)
        _wait_until_established(state, crd)


def _wait_until_established(state: LocalState, crd: str) -> None:
    """As `kubectl wait` does, which fails where the server has not written the conditions yet, or only as null."""
    deadline = time.monotonic() + ESTABLISHED_SECONDS
    while not is_established(json.loads(kubectl(state, "get", "-f", crd, "-o", "json"))):
        if time.monotonic() > deadline:
            raise StateError(f"The cluster does not take the Workspace resource: see kubectl describe -f {crd}")
        time.sleep(0.1)


def is_established(crd: JsonObject) -> bool:
    """Whether the API server serves what the definition names."""
    conditions = dig_dicts(crd, "status", "conditions")
    return any(c.get("type") == "Established" and c.get("status") == "True" for c in conditions)


def _hand_over(state: LocalState, control_plane: Sequence[Supervised], services: Sequence[ProcessSpec]) -> None:
    """Give the supervisor its list, end what runs otherwise than the list says, and start the supervisor."""
    own = [Supervised(spec=spec, run_folder=state.run_folder, with_environment=True) for spec in services]
    known = {item.spec.name: item.spec for item in read_list(state.folder)}
    write_list(state.folder, [*control_plane, *own])
    for item in own:
        process = alive(item.spec.name, state.run_folder)
        if process and known.get(item.spec.name) != item.spec:
            asyncio.run(terminate(process))
    _start_supervisor(state, os.environ)


def _start_supervisor(state: LocalState, environment: Mapping[str, str]) -> None:
    if not alive(SUPERVISOR, state.run_folder):
        argv = (sys.executable, "-m", "deploy.local.supervisor", str(state.folder))
        log_path = state.logs / "supervisor.log"
        spawn(ProcessSpec(name=SUPERVISOR, argv=argv, env=dict(environment), log_path=log_path), state.run_folder)


def _wait(services: Sequence[ProcessSpec], steps: Steps) -> None:
    with steps.step("NATS and services") as note:
        left = [spec.name for spec in services]

        def ready(name: str) -> None:
            left.remove(name)
            note(f"waiting for {', '.join(left)}" if left else "all are ready")

        wait_for_all(services, READY_SECONDS, ready)

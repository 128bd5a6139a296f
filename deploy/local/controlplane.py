"""A real Kubernetes control plane on this machine: etcd, API server, controller-manager, scheduler.

No root, no containers, no cluster. Everything lies in one state folder, from which a later start brings
back the same cluster on the same ports.
"""

import asyncio
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from deploy.local.address import own_address
from deploy.local.binaries import Binaries
from deploy.local.controlplane_kubeconfig import certificate_user, token_user, write_kubeconfig
from deploy.local.controlplane_pki import ensure_pki
from deploy.local.controlplane_processes import (
    CONTROLLER_MANAGER,
    PORTS,
    SCHEDULER,
    SERVICE_ADDRESS,
    ControlPlaneConfig,
    control_plane_processes,
)
from deploy.local.ports import assign_ports
from deploy.local.process import ProcessError, ProcessSpec, alive, ensure_running, forget, recorded, terminate


class ControlPlane:
    """The four processes of one state folder. Each method may be called by another process than the last."""

    def __init__(self, config: ControlPlaneConfig, environment: Mapping[str, str] | None = None) -> None:
        self.config = config
        more = dict(environment or {})
        specs = (spec.model_copy(update={"env": spec.env | more}) for spec in control_plane_processes(config))
        self._specs = {spec.name: spec for spec in specs}

    @classmethod
    async def prepare(cls, binaries: Binaries, state: Path, environment: Mapping[str, str] | None = None) -> Self:
        """Choose ports and make certificates and kubeconfigs in `state`, or keep those that are there.

        `environment` is set for the processes that it starts. Raises ProcessError when the programs do not run on this
        machine.
        """
        version = await kubernetes_version(binaries.kube_apiserver)
        return cls(await asyncio.to_thread(_configure, binaries, version, state.absolute()), environment)

    @property
    def kubeconfig(self) -> Path:
        """The administrator's kubeconfig."""
        return self.config.kubeconfig("admin")

    @property
    def run_folder(self) -> Path:
        """Where the processes are recorded."""
        return self.config.state / "run"

    @property
    def processes(self) -> list[ProcessSpec]:
        """The processes in the order in which they start."""
        return list(self._specs.values())

    async def start(self) -> None:
        """Start what does not run yet, in order, until all is ready. Raises ProcessError with the log's end."""
        *ordered, controller_manager, scheduler = self.processes
        for spec in ordered:
            await ensure_running(spec, self.run_folder)
        await asyncio.gather(*(ensure_running(s, self.run_folder) for s in (controller_manager, scheduler)))

    async def stop(self) -> None:
        """End all four, the last started first; what they stored stays."""
        for spec in reversed(self.processes):
            await self.stop_one(spec.name)

    async def stop_one(self, name: str) -> None:
        """End one process by its component's name, such as `kube-apiserver`."""
        process = recorded(name, self.run_folder)
        if process:
            await terminate(process, self._specs[name].grace_s)
            forget(process, self.run_folder)

    async def restart(self, name: str) -> None:
        """End one process and start it again on the same ports."""
        await self.stop_one(name)
        await ensure_running(self._specs[name], self.run_folder)


async def kubernetes_version(apiserver: Path) -> tuple[int, int]:
    """Ask the program for its major and minor version. Raises ProcessError when it does not say."""
    try:
        process = await asyncio.create_subprocess_exec(
            str(apiserver), "--version", stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
        )
        output, _ = await asyncio.wait_for(process.communicate(), 30)
    except (OSError, TimeoutError) as error:
        raise ProcessError(f"{apiserver} does not run on this machine: {error}") from error
    found = re.search(rb"Kubernetes v(\d+)\.(\d+)", output)
    if not found:
        said = output.decode(errors="replace").strip()[:300]
        raise ProcessError(f"`{apiserver} --version` names no Kubernetes version; it says: {said}")
    return int(found[1]), int(found[2])


def _configure(binaries: Binaries, version: tuple[int, int], state: Path) -> ControlPlaneConfig:
    state.mkdir(parents=True, exist_ok=True, mode=0o700)
    address = own_address()
    config = ControlPlaneConfig(
        binaries=binaries,
        version=version,
        state=state,
        ports=assign_ports(state / "ports.json", PORTS, _taken_by_us(state / "run")),
        pki=ensure_pki(state / "pki", address, SERVICE_ADDRESS),
        address=address,
    )
    _write_kubeconfigs(config)
    return config


def _taken_by_us(run_folder: Path) -> list[str]:
    """Name the ports held by processes that still run; etcd's three belong to one process."""
    return [port for port in PORTS if alive("etcd" if port.startswith("etcd") else port, run_folder)]


def _write_kubeconfigs(config: ControlPlaneConfig) -> None:
    users = {
        "admin": token_user(config.pki.token),
        CONTROLLER_MANAGER: certificate_user(config.pki.controller_manager),
        SCHEDULER: certificate_user(config.pki.scheduler),
    }
    for name, user in users.items():
        write_kubeconfig(config.kubeconfig(name), config.url, config.pki.ca.cert, name, user)

"""The whole of Kaito Bus for a test: NATS and the services as processes, each killed and started alone.

They are described by the same functions as for `kaitobus up`, and run on the control plane of the tests.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TypeVar

import nats
import nats.errors
import pytest
from nats.aio.client import Client
from nats.js import JetStreamContext

from deploy.crds import crd_for
from deploy.local.controlplane import ControlPlane
from deploy.local.logs import log_tail
from deploy.local.nats import nats_process
from deploy.local.ports import assign_ports
from deploy.local.process import ProcessSpec, ensure_running, is_alive, recorded, terminate, wait_ready
from deploy.local.services import MODULES, service_processes
from deploy.local.state import LocalState
from services.chassis.kube import WORKSPACES, JsonObject, KubeClient, NotFound, ObjectRef, Unreachable
from services.contracts.status import WorkspaceStatus
from tests.sparing import spawn_sparing

T = TypeVar("T")
Begin = Callable[[ProcessSpec, Path], object]

NATS = "nats"
SERVICES = ("watcher", "scheduler", "provisioner-fake", "deployer")
"""All that a simulated workspace needs."""

QUICK = {
    "KAITOBUS_FAKE_BOOT_SECONDS": "0.5",
    "KAITOBUS_FAKE_PULL_SECONDS": "0.2",
    "KAITOBUS_FAKE_START_SECONDS": "0.2",
    "KAITOBUS_LEASE_SECONDS": "3",
    "KAITOBUS_OFFER_SECONDS": "2",
    "KAITOBUS_COLLECT_SECONDS": "1",
    "KAITOBUS_GRACE_SECONDS": "3",
    "KAITOBUS_SETTLE_SECONDS": "3",
}
"""Settings under which nothing takes long for its own sake."""

CONVERGES = 100.0
"""Seconds in which any workspace must be where it belongs, whatever happened before, on a slow and busy machine."""

FIRST_PAUSE, LONGEST_PAUSE, GROWS = 0.05, 0.4, 1.2
"""Seconds between two looks at what is waited for, and how they grow: on a busy machine the looks themselves are in
the way of what they look for."""

UNANSWERED = (nats.errors.TimeoutError, nats.errors.NoServersError, Unreachable)
"""What a look meets that is not answered in time. It has seen nothing, and the next one may."""

AT_ONCE = 25.0
"""Seconds in which even a slow and busy machine does what waits for nothing; `tests.bench` measures how fast it is.
What comes only because all is looked at again comes later."""


class Stack:
    """NATS and services in a folder of their own. A replica is a process under a name like `watcher-2`."""

    def __init__(
        self, folder: Path, plane: ControlPlane, kube: KubeClient, settings: Mapping[str, str], begin: Begin
    ) -> None:
        self.folder = folder
        self._settings = settings
        self._begin = begin
        self.plane = plane
        self.kube = kube
        replicas = {f"{name}-{number}": name for number in (1, 2) for name in MODULES}
        ports = assign_ports(folder / "ports.json", (NATS, "monitor", *replicas))
        url = f"nats://a-token-of-the-tests@127.0.0.1:{ports[NATS]}"
        self.state = LocalState(folder=folder, kubeconfig=plane.kubeconfig, nats_url=url)
        self._specs = {NATS: nats_process(self.state, ports["monitor"])}
        for name, kind in replicas.items():
            self._specs[name] = self._replica(name, kind, ports[name])
        self._free = [f"provisioner-local-{number}" for number in (1, 2)] + ["provisioner-fake-2"]
        """Places that a test can give to provisioners of its own; the last is taken first."""

    def _replica(self, name: str, kind: str, port: int) -> ProcessSpec:
        by_name = {spec.name: spec for spec in service_processes(self.state, dict.fromkeys(MODULES, port), {})}
        spec = by_name[kind]
        log_path = self.state.logs / f"{name}.log"
        return spec.model_copy(update={"name": name, "env": {**spec.env, **self._settings}, "log_path": log_path})

    def add_provisioner(self, provider: str, environment: Mapping[str, str], number: int = 1) -> str:
        """Describe one more, of another provider, in a place that is free. Returns its process' name."""
        name = f"provisioner-{provider}-{number}"
        found = self._specs.get(name) or self._specs[self._free.pop()]
        env = {**found.env, **environment, "KAITOBUS_PROVIDER": provider}
        log_path = self.state.logs / f"{name}.log"
        self._specs[name] = found.model_copy(update={"name": name, "env": env, "log_path": log_path})
        return name

    # -- processes

    async def start(self, *names: str) -> None:
        """Start what does not run of these, by default NATS and one of each service, and wait until it is ready."""
        names = names or (NATS, *(f"{name}-1" for name in SERVICES))
        self.launch(*names)
        await asyncio.gather(*(ensure_running(self._specs[name], self.state.run_folder) for name in names))

    def launch(self, *names: str) -> None:
        """Start what does not run of these, and wait for nothing."""
        for name in names:
            process = recorded(name, self.state.run_folder)
            if process is None or not is_alive(process):
                self._begin(self._specs[name], self.state.run_folder)

    async def ready(self, *names: str) -> None:
        """Wait until these say that they are ready."""
        for name in names:
            process = recorded(name, self.state.run_folder)
            assert process is not None, f"{name} was never started"
            await wait_ready(self._specs[name], process)

    async def kill(self, *names: str) -> None:
        """Kill -9."""
        for name in names:
            process = recorded(name, self.state.run_folder)
            if process and is_alive(process):
                os.kill(process.pid, signal.SIGKILL)
                await until(lambda process=process: _absent(not is_alive(process)))  # type: ignore[misc]

    async def end(self, *names: str) -> None:
        """End these, by default all, as a supervisor does: SIGTERM first."""
        running = [recorded(name, self.state.run_folder) for name in names or tuple(self._specs)]
        await asyncio.gather(*(terminate(process) for process in running if process))

    def pid(self, name: str) -> int:
        """The process id under which it was last started."""
        process = recorded(name, self.state.run_folder)
        assert process is not None, f"{name} was never started"
        return process.pid

    def wipe_nats(self) -> None:
        """Delete all that NATS has stored. It must not run."""
        shutil.rmtree(self.folder / "nats")

    # -- what a person does

    async def kubectl(self, *arguments: str, stdin: str = "", seconds: float = 60) -> str:
        """Run kubectl; returns what it printed."""
        done = await asyncio.create_subprocess_exec(
            str(Path(sys.executable).with_name("kubectl")), *arguments,
            env={"PATH": os.defpath, "HOME": str(self.folder), "KUBECONFIG": str(self.plane.kubeconfig)},
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        output, errors = await asyncio.wait_for(done.communicate(stdin.encode()), seconds)
        assert done.returncode == 0, f"kubectl {' '.join(arguments)}: {errors.decode()}"
        return output.decode()

    async def apply(self, manifest: str, namespace: str = "default", seconds: float = 60) -> None:
        """`kubectl apply -f -`."""
        await self.kubectl("-n", namespace, "apply", "-f", "-", stdin=manifest, seconds=seconds)

    # -- what is there

    async def workspace(self, name: str, namespace: str = "default") -> JsonObject | None:
        """The Workspace as Kubernetes has it."""
        return await self.kube.get(ObjectRef(WORKSPACES, name, namespace))

    async def status(self, name: str, namespace: str = "default") -> WorkspaceStatus:
        """The Workspace's status; an empty one where there is none yet."""
        found = await self.workspace(name, namespace) or {}
        return WorkspaceStatus.model_validate(found.get("status") or {})

    @asynccontextmanager
    async def client(self) -> AsyncIterator[Client]:
        """A client of NATS, like any other."""
        client = await nats.connect(self.state.nats_url, connect_timeout=5)
        try:
            yield client
        finally:
            await client.close()

    @asynccontextmanager
    async def jetstream(self) -> AsyncIterator[JetStreamContext]:
        """JetStream, as any client of NATS reaches it."""
        async with self.client() as client:
            yield client.jetstream(timeout=5)

    def logs(self) -> Mapping[str, str]:
        """The end of every log."""
        return {path.stem: log_tail(path) for path in sorted(self.state.logs.glob("*.log"))}


async def _absent(condition: bool) -> bool:
    return condition


async def until(found: Callable[[], Awaitable[T]], seconds: float = CONVERGES, what: str = "") -> T:
    """Wait until `found` returns something true, and return that; fail with its last value after `seconds`."""
    value: T | None = None
    try:
        async with asyncio.timeout(seconds):
            for pause in pauses():
                with suppress(*UNANSWERED):
                    value = await found()
                if value:
                    return value
                await asyncio.sleep(pause)
    except TimeoutError:
        pass
    pytest.fail(f"{what or 'it'} did not come within {seconds:g} s; at the end: {value!r}")


async def until_none(found: Callable[[], Awaitable[Sequence[T]]], seconds: float = CONVERGES) -> None:
    """Wait until `found` returns nothing; fail with what is left after `seconds`."""
    left: Sequence[T] = ()

    async def none() -> bool:
        nonlocal left
        left = await found()
        return not left

    try:
        await until(none, seconds)
    except pytest.fail.Exception:
        pytest.fail(f"still there after {seconds:g} s: {left}")


def pauses() -> Iterator[float]:
    """Seconds between two looks, for ever."""
    pause = FIRST_PAUSE
    while True:
        yield pause
        pause = min(LONGEST_PAUSE, pause * GROWS)


async def _lists_workspaces(kube: KubeClient) -> bool:
    try:
        await kube.list(WORKSPACES)
    except NotFound:
        return False
    return True


@asynccontextmanager
async def running(
    folder: Path, plane: ControlPlane, settings: Mapping[str, str] = QUICK, begin: Begin = spawn_sparing
) -> AsyncIterator[Stack]:
    """A stack on a control plane that has the Workspace resource; all that was started ends with it.

    `settings` are environment variables of every service, `begin` starts and records a process.
    """
    async with await KubeClient.connect(str(plane.kubeconfig)) as kube:
        stack = Stack(folder, plane, kube, settings, begin)
        try:
            await stack.kubectl("apply", "--server-side", "--force-conflicts", "-f", str(crd_for(await kube.version())))
            await until(lambda: _lists_workspaces(kube), what="the Workspace resource")
            yield stack
        finally:
            await stack.end()

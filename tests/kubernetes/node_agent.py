"""What the tests of the node agent share: an agent as a process of its own, and pods to run on it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from multiprocessing.context import ForkServerProcess
from pathlib import Path

import yaml

from deploy.local.controlplane import ControlPlane
from deploy.local.node.volumes import shared_memory_of, temporary_dir_of
from services.chassis.kube import JsonObject
from tests.forked import fork

WITHIN_S = 60.0


class Agent:
    """A node agent that can be started, killed and started again on the same state."""

    def __init__(
        self, name: str, plane: ControlPlane, folder: Path, *more: str, kubeconfig: Path | None = None
    ) -> None:
        self.name = name
        self.state = folder / "state"
        self.images = folder / "images.yaml"
        self.know_images("test/shell", "test/python")
        pki = plane.config.pki
        self._argv = [
            sys.executable, "-m", "deploy.local.node", "--name", name,
            "--kubeconfig", str(kubeconfig or plane.kubeconfig), "--state-dir", str(self.state),
            "--images", str(self.images), "--client-ca", str(pki.ca.cert),
            "--tls-cert", str(pki.kubelet.cert), "--tls-key", str(pki.kubelet.key),
            "--labels", f"test-node={name}", "--cpu", "2", "--memory", "4Gi", "--delete-node-on-exit", *more,
        ]  # fmt: skip
        self._log = folder / "agent.log"
        self._process: ForkServerProcess | None = None

    def know_images(self, *names: str) -> None:
        """Write the file of images: programs of this machine, and this very Python."""
        image = {"path": [str(Path(sys.executable).parent), "/usr/bin", "/bin"], "env": {"FROM_IMAGE": "yes"}}
        self.images.write_text(yaml.safe_dump(dict.fromkeys(names, image)))

    def start(self) -> None:
        """Unless it runs."""
        if self._process is None or not self._process.is_alive():
            self._process = fork(self._argv, os.environ, self._log)

    def kill(self) -> None:
        """Like a crash: nothing is said, nothing is cleaned up."""
        self._send(signal.SIGKILL)

    def stop(self) -> int:
        """As a supervisor would; returns the exit code."""
        return self._send(signal.SIGTERM)

    def wait(self) -> int:
        """Wait until it ends by itself; returns the exit code."""
        assert self._process is not None
        self._process.join(40)
        assert self._process.exitcode is not None, "it does not end"
        return self._process.exitcode

    def _send(self, number: int) -> int:
        assert self._process is not None
        assert self._process.pid is not None
        if self._process.is_alive():
            os.kill(self._process.pid, number)
        return self.wait()

    def log(self) -> str:
        return self._log.read_text()


def manifest(obj: Mapping[str, object]) -> str:
    return json.dumps(obj)


def pod(name: str, agent: Agent, *command: str, **fields: object) -> JsonObject:
    """A pod with one container `main` on the agent's node. `fields` named spec_... go to the pod's spec, others
    to the container.
    """
    container: JsonObject = {"name": "main", "image": "test/shell", "command": list(command)}
    spec: JsonObject = {"nodeSelector": {"test-node": agent.name}, "terminationGracePeriodSeconds": 5}
    for key, value in fields.items():
        target = spec if key.startswith("spec_") else container
        target[key.removeprefix("spec_")] = value
    spec["containers"] = [container]
    metadata: JsonObject = {"name": name, "labels": {"app": name}, "annotations": {"note": "a note"}}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


async def eventually(
    look: Callable[[], Awaitable[str]], good: Callable[[str], bool], what: str, seconds: float = WITHIN_S
) -> str:
    """Look until what is seen is good; fail with the last sight when that does not come in time."""
    deadline = time.monotonic() + seconds
    pause = 0.1
    while not good(seen := await look()):
        assert time.monotonic() < deadline, f"not within {seconds:.0f} s: {what}; last seen: {seen!r}"
        await asyncio.sleep(pause)
        pause = min(0.5, 1.3 * pause)  # to look is mostly to start kubectl, which takes time from what is waited for
    return seen


def runs(pid: int) -> bool:
    """Whether a process is there, one that only waits to be reaped not counted."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


def pids_below(folder: Path) -> set[int]:
    """The processes that the agent's state names as running. What is being removed meanwhile names none."""
    found = [_process_in(Path(at, "run.json")) for at, _, files in os.walk(folder) if "run.json" in files]
    return {pid for pid in found if pid and runs(pid)}


def _process_in(record: Path) -> int | None:
    with suppress(FileNotFoundError):
        return (json.loads(record.read_text()).get("process") or {}).get("pid")
    return None


def left_outside(folder: Path) -> list[Path]:
    """What the pods of an agent that has stopped still have outside its state."""
    uids = [path.name for path in (folder / "pods").glob("*")]
    places = [place for uid in uids for place in (temporary_dir_of(uid), shared_memory_of(uid))]
    return [place for place in places if place.exists()]


def is_private(path: Path) -> bool:
    """Whether only the user may look at it."""
    return not os.stat(path).st_mode & 0o077

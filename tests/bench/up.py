"""`kaitobus up` until it has printed the model's answer, with all downloads and builds cached."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from deploy.local.engine import ensure_engine, ensure_model
from tests.bench.figure import Figure

KAITOBUS = Path(sys.executable).with_name("kaitobus")


def measure_up(folder: Path) -> Figure:
    """Start, wait for the answer, end. Raises RuntimeError with what was printed if no answer comes."""
    ensure_engine(lambda _: None)
    ensure_model(lambda _: None)
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("KAITOBUS_", "KUBECONFIG"))}
    environment |= {"KAITOBUS_STATE_DIR": str(folder / "state"), "PYTHONUNBUFFERED": "1"}
    try:
        seconds = _seconds_to_answer(environment)
    finally:
        subprocess.run([str(KAITOBUS), "down"], env=environment, check=True, capture_output=True, timeout=120)
    return Figure("kaitobus up to the answer", "s", (seconds,), 90)


def _seconds_to_answer(environment: dict[str, str]) -> float:
    began = time.perf_counter()
    with subprocess.Popen(
        [str(KAITOBUS), "up"], env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as process:
        printed: list[str] = []
        for line in process.stdout or ():
            printed.append(line)
            if "Paris" in line:
                seconds = time.perf_counter() - began
        if process.wait(timeout=60):
            raise RuntimeError("kaitobus up has failed:\n" + "".join(printed))
    return seconds

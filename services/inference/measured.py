"""What a worker of the engine measured while it started. Loaded into each worker by `--worker-extension-cls`.

vLLM adds the class below to its worker, so its method can be called in every one (`collective_rpc`). Where vLLM keeps
a figure has moved between releases 0.26 and 0.33; one that is not found is left out. Only what the graphs took is kept
nowhere: it is heard in the log.
"""

import logging
import os
import re
from collections.abc import Iterable
from pathlib import Path

from services.inference.garbage import look_as_usual
from services.inference.heard import STEPS_FILE_ENV, StepListener

GIB = 2**30
METHOD = "kaitobus_memory"
EXTENSION = f"{__name__}.WorkerMemory"

_GRAPHS = re.compile(r"Graph capturing finished in .* took (-?\d+(?:\.\d+)?) GiB")


def graphs_gib(lines: Iterable[str]) -> float | None:
    """Return what CUDA graphs took by vLLM's log lines (gpu_model_runner, 0.26 to 0.33); None if no line tells.

    The last line counts: a model that drafts for another captures graphs of its own first.
    """
    found = [float(match[1]) for line in lines if (match := _GRAPHS.search(line))]
    return max(0.0, found[-1]) if found else None


class _Listener(logging.Handler):
    """Keeps the lines that tell of graphs. It never fails: logging goes on whatever is logged."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the line if it is one of those."""
        if str(record.msg).startswith("Graph capturing finished"):
            self.lines.append(record.getMessage())


# vLLM imports this module once all others are there and before the worker loads the model, so no line is missed.
look_as_usual()
_LISTENER = _Listener()
logging.getLogger("vllm").addHandler(_LISTENER)
if steps_file := os.environ.get(STEPS_FILE_ENV):
    logging.getLogger("vllm").addHandler(StepListener(Path(steps_file)))


class WorkerMemory:
    """Added to vLLM's worker; its method has a name that no method of vLLM has."""

    def kaitobus_memory(self) -> dict[str, float | None]:
        """Return GiB by part, None for what this worker did not measure."""
        return worker_memory(self, graphs_gib(_LISTENER.lines))


def worker_memory(worker: object, graphs: float | None) -> dict[str, float | None]:
    """Read a worker's figures, in GiB. What is not there, or is no number, is None."""
    # Without a GPU none are measured, and they cannot be counted: vLLM packs them for the processor, out of sight.
    weights = _bytes(getattr(worker, "model_runner", None), "model_memory_usage")
    consumed = _bytes(worker, "total_consumed")
    rest = consumed - weights if consumed is not None and weights is not None else None
    non_torch = _bytes(worker, "non_torch_memory")
    cache = _bytes(worker, "available_kv_cache_memory_bytes")
    return {
        "weights_gib": _gib(weights),
        "activation_gib": _gib(_bytes(worker, "peak_activation_memory")),
        "non_torch_gib": _gib(rest if non_torch is None else non_torch),
        "graphs_gib": graphs,
        "kv_cache_gib": _gib(_bytes(getattr(worker, "cache_config", None), "kv_cache_memory_bytes") or cache),
    }


def _bytes(owner: object, name: str) -> float | None:
    value = getattr(owner, name, None)
    return float(value) if isinstance(value, (int, float)) and value > 0 else None


def _gib(value: float | None) -> float | None:
    return None if value is None else round(value / GIB, 3)

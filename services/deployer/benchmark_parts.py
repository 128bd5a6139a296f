"""What a server that measures itself needs in its pod. Pure."""

from __future__ import annotations

from typing import Final

from services.chassis.kube import JsonObject
from services.contracts.plan import Engine, Runtime
from services.contracts.serving import ANNOTATION_BENCHMARK
from services.deployer.command import Setting
from services.deployer.compiled import COMPILED
from services.deployer.weights import PodParts

_WISHES: Final = "/workspace/wishes"
_FILE: Final = "benchmark"


def benchmark_parts(engine: Engine) -> PodParts:
    """A file of the pod that says what its annotation says: so a change reaches a running server."""
    if engine.runtime is not Runtime.VLLM:
        return PodParts()
    field = {"fieldPath": f"metadata.annotations['{ANNOTATION_BENCHMARK}']"}
    volume: JsonObject = {"name": "wishes", "downwardAPI": {"items": [{"path": _FILE, "fieldRef": field}]}}
    return PodParts(volumes=(volume,), mounts=({"name": "wishes", "mountPath": _WISHES, "readOnly": True},))


def benchmark_environment(engine: Engine) -> list[Setting]:
    """Where the server reads the wish, and keeps what it measured."""
    if engine.runtime is not Runtime.VLLM:
        return []
    why = f"A file with the annotation {ANNOTATION_BENCHMARK}, which may change while the server runs; empty is off."
    kept = "What it measured of itself is kept beside what it has compiled, for the next start."
    return [
        Setting("KAITOBUS_BENCHMARK", f"{_WISHES}/{_FILE}", why),
        Setting("KAITOBUS_BENCHMARK_DIR", f"{COMPILED}/benchmark", kept),
    ]

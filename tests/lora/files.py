"""Adapters as PEFT writes them, with weights of chance: what they say makes no sense, but it is always the same.

The sizes are those of SmolLM2-135M, unless a test wants others.
"""

from __future__ import annotations

import json
import random
from array import array
from collections.abc import Mapping, Sequence
from pathlib import Path

BASE = "HuggingFaceTB/SmolLM2-135M-Instruct"
HIDDEN = 576
LAYERS = 30
OUTPUT = "model.layers.{}.self_attn.o_proj"

Matrices = dict[str, tuple[tuple[int, ...], "array[float]"]]


def matrices(
    seed: int = 1, *, rank: int = 4, layers: int = LAYERS, size: int = HIDDEN, module: str = OUTPUT
) -> Matrices:
    """A and B for one module of each layer."""
    chance = random.Random(seed)
    found: Matrices = {}
    for layer in range(layers):
        name = f"base_model.model.{module.format(layer)}"
        for side, shape in (("A", (rank, size)), ("B", (size, rank))):
            values = array("f", (chance.gauss(0, 0.2) for _ in range(shape[0] * shape[1])))
            found[f"{name}.lora_{side}.weight"] = (shape, values)
    return found


def safetensors(tensors: Mapping[str, tuple[Sequence[int], array[float]]]) -> bytes:
    """A safetensors file of 32-bit floats."""
    header: dict[str, object] = {}
    body = b""
    for name, (shape, values) in tensors.items():
        data = values.tobytes()
        header[name] = {"dtype": "F32", "shape": list(shape), "data_offsets": [len(body), len(body) + len(data)]}
        body += data
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + body


def config(**fields: object) -> dict[str, object]:
    """An adapter_config.json."""
    usual = {"peft_type": "LORA", "task_type": "CAUSAL_LM", "r": 4, "lora_alpha": 8, "target_modules": ["o_proj"]}
    return usual | {"base_model_name_or_path": BASE} | fields


def write_adapter(folder: Path, tensors: Matrices | None = None, **fields: object) -> Path:
    """Write an adapter; `fields` are those of its config. Returns the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "adapter_config.json").write_text(json.dumps(config(**fields)))
    (folder / "adapter_model.safetensors").write_bytes(safetensors(matrices() if tensors is None else tensors))
    return folder

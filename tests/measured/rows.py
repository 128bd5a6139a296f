"""The measured starts of the engine, and what is predicted for each.

Facts' source: vLLM 0.26.0 with torch 2.11 and CUDA 13 on one H200 (139.80 GiB) or one H100 (79.18 GiB), weights of
random numbers in the public shapes of the models (some with fewer layers: their configurations are in
`tests/data/configs`), bfloat16 unless said, one engine a run, nothing compiled before.
"""

from __future__ import annotations

import csv
import json
from pathlib import Path

from pydantic import BaseModel, ConfigDict, field_validator

from services.scheduler.config_json import read_config_json
from services.scheduler.config_quantization import named_quantization
from services.scheduler.memory import GpuMemory, on_each_gpu
from services.scheduler.memory_settings import EngineLimits
from services.scheduler.shapes import NoShapes, Shapes
from services.scheduler.split import Split

DATA = Path(__file__).parent.parent / "data"


class Measured(BaseModel):
    """One start: the settings, and what the engine reported, in GiB. `graphs_gib` is None where the log lacks it."""

    model_config = ConfigDict(frozen=True)

    model: str
    gpu: str
    total_gib: float
    utilization: float
    max_model_len: int
    max_num_batched_tokens: int
    max_num_seqs: int
    quantization: str | None
    kv_cache_dtype: str
    max_loras: int | None
    max_lora_rank: int | None
    weights_gib: float
    activation_gib: float
    non_torch_gib: float
    graphs_gib: float | None
    kv_cache_gib: float
    kv_tokens: int

    @field_validator("quantization", "max_loras", "max_lora_rank", "graphs_gib", mode="before")
    @classmethod
    def _empty(cls, value: str) -> str | None:
        return value or None

    @property
    def label(self) -> str:
        """The model and the settings in which the rows differ."""
        extras = [self.quantization, f"{self.max_loras} adapters" if self.max_loras else None]
        settings = f"{self.gpu} {self.utilization:g}, {self.max_num_batched_tokens}/{self.max_num_seqs}"
        return ", ".join([f"{self.model}, {settings}, {self.max_model_len}", *filter(None, extras)])


def measured_rows() -> list[Measured]:
    """All rows of the table."""
    with (DATA / "measured-memory.csv").open(newline="") as opened:
        return [Measured.model_validate(row) for row in csv.DictReader(opened)]


def shapes_of(row: Measured) -> Shapes:
    """The model that was measured."""
    shapes = read_config_json(json.loads((DATA / "configs" / f"{row.model}.json").read_text()))
    assert not isinstance(shapes, NoShapes), shapes
    if row.quantization:
        return shapes.model_copy(update={"quantization": named_quantization(row.quantization)})
    return shapes


def predicted(row: Measured) -> GpuMemory:
    """What the model of memory says for the same settings, from the configuration alone."""
    limits = EngineLimits(
        utilization=row.utilization,
        batched=row.max_num_batched_tokens,
        sequences=row.max_num_seqs,
        cache_dtype=row.kv_cache_dtype,
        adapters=row.max_loras or 0,
        adapter_rank=row.max_lora_rank or 16,
    )
    return on_each_gpu(shapes_of(row), Split(), row.total_gib, limits, row.max_model_len)

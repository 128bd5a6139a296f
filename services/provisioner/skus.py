"""The machine sizes of the known clouds, from the tables in `presets/`: what a provider offers by default."""

from __future__ import annotations

from datetime import date
from importlib.resources import files
from typing import Literal

import yaml
from pydantic import BaseModel, ConfigDict, TypeAdapter

from services.contracts.offers import Offer


class Sku(BaseModel):
    """A row of a table; the tables say what the fields mean."""

    model_config = ConfigDict(frozen=True, extra="ignore", protected_namespaces=())

    name: str
    gpus: int
    gpu_model: str
    gpu_memory_gib: float
    gpu_usable_gib: float | None = None
    compute_capability: float | None = None
    vendor: str = "nvidia"
    interconnect: Literal["nvlink", "pcie"] | None = None
    vcpus: int | None = None
    memory_gib: float | None = None
    price_per_hour: float | None = None
    runnable: bool = True
    because: str | None = None
    retired: date | None = None
    replacement: str | None = None

    def offer(self) -> Offer:
        """As a provider offers it: with the memory that a GPU's driver would report."""
        return Offer(
            instance_type=self.name,
            gpus=self.gpus,
            gpu_model=self.gpu_model,
            gpu_memory_gib=self.gpu_usable_gib or self.gpu_memory_gib,
            cuda_compute_capability=self.compute_capability,
            interconnect=self.interconnect,
            cpu=self.vcpus,
            memory_gib=self.memory_gib,
            price_per_hour=self.price_per_hour,
            runnable=self.runnable,
            not_runnable_because=self.because,
            retired=self.retired,
            replacement=self.replacement,
        )


_SKUS = TypeAdapter(list[Sku])


def load_skus() -> dict[str, Sku]:
    """All sizes, by name in lower case."""
    tables = (t for t in files("presets").iterdir() if t.name.startswith("skus-") and t.name.endswith(".yaml"))
    rows = [sku for t in tables for sku in _SKUS.validate_python(yaml.safe_load(t.read_text("utf-8"))["skus"])]
    return {sku.name.lower(): sku for sku in rows}

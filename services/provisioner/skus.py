"""The machine sizes of the known clouds, from the tables in `presets/`: what a provider offers by default."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Literal

import yaml
from pydantic import BaseModel, ConfigDict

from presets.prices import price_of
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
    runnable: bool = True
    because: str | None = None
    retired: date | None = None
    replacement: str | None = None
    taints: tuple[str, ...] = ()

    def offer(self) -> Offer:
        """As a provider offers it: with the memory that a GPU's driver would report, and the prices that are known."""
        price = price_of(self.name)
        return Offer(
            instance_type=self.name,
            gpus=self.gpus,
            gpu_model=self.gpu_model,
            gpu_memory_gib=self.gpu_usable_gib or self.gpu_memory_gib,
            cuda_compute_capability=self.compute_capability,
            interconnect=self.interconnect,
            cpu=self.vcpus,
            memory_gib=self.memory_gib,
            price_per_hour=price.on_demand,
            spot_price_per_hour=price.spot,
            price_note=price.note,
            runnable=self.runnable,
            not_runnable_because=self.because,
            retired=self.retired,
            replacement=self.replacement,
            taints=self.taints,
        )


class _Table(BaseModel):
    """A table. `taints` are those that its cloud may put on any node by itself."""

    taints: tuple[str, ...] = ()
    skus: tuple[Sku, ...]


def tables() -> tuple[str, ...]:
    """The names of the clouds whose tables there are."""
    names = (table.name for table in files("presets").iterdir())
    return tuple(sorted(n[5:-5] for n in names if n.startswith("skus-") and n.endswith(".yaml")))


@cache
def load_table(cloud: str) -> Mapping[str, Sku]:
    """The sizes of one cloud, by name in lower case. Raises FileNotFoundError where there is no such table."""
    text = files("presets").joinpath(f"skus-{cloud}.yaml").read_text("utf-8")
    table = _Table.model_validate(yaml.load(text, Loader=yaml.CSafeLoader))
    return MappingProxyType({sku.name.lower(): sku.model_copy(update={"taints": table.taints}) for sku in table.skus})


def load_skus() -> dict[str, Sku]:
    """The sizes of all clouds, by name in lower case."""
    return {name: sku for cloud in tables() for name, sku in load_table(cloud).items()}

"""The sizes of one cloud, from its table in `presets/`."""

from __future__ import annotations

from importlib.resources import files
from typing import Final

import yaml
from pydantic import TypeAdapter

from services.contracts.offers import Offer
from services.provisioner.skus import Sku

_SKUS: Final = TypeAdapter(list[Sku])


def tables() -> tuple[str, ...]:
    """The names of the tables there are."""
    names = (table.name for table in files("presets").iterdir())
    return tuple(sorted(n[5:-5] for n in names if n.startswith("skus-") and n.endswith(".yaml")))


def offers_of(table: str) -> tuple[Offer, ...]:
    """All sizes of a table, as they are offered. How many are left, only the cloud knows."""
    text = files("presets").joinpath(f"skus-{table}.yaml").read_text("utf-8")
    return tuple(sku.offer() for sku in _SKUS.validate_python(yaml.safe_load(text)["skus"]))

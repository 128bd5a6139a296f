"""The GPU sizes of Azure that are known, from the table in `presets/`."""

from __future__ import annotations

from importlib.resources import files

import yaml
from pydantic import TypeAdapter

from services.contracts.offers import Offer
from services.provisioner.skus import Sku


def load_table() -> tuple[Offer, ...]:
    """The sizes, with the memory that a GPU's driver reports."""
    text = files("presets").joinpath("skus-azure.yaml").read_text("utf-8")
    rows = TypeAdapter(list[Sku]).validate_python(yaml.safe_load(text)["skus"])
    return tuple(sku.offer() for sku in rows)

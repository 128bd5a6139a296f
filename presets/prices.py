"""Reads `prices.yaml`: what a machine size costs, by whose list and as of when."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.resources import files

import yaml
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter


class PriceList(BaseModel):
    """US dollars an hour by the cloud's name of the size. `as_of` is a day, or what is known of it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: str
    as_of: str
    prices: dict[str, float] = Field(default_factory=dict)


class CloudPrices(BaseModel):
    """The lists of one cloud, for one region of it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    region: str
    on_demand: PriceList
    spot: PriceList


class Price(BaseModel):
    """What one size costs an hour; None where that is not known. `note` says by which lists."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    on_demand: float | None = None
    spot: float | None = None
    note: str | None = None


def price_of(size: str) -> Price:
    """The price of a size, its name in any case of letters."""
    return _by_name().get(size.lower(), Price())


@cache
def load_prices() -> Mapping[str, CloudPrices]:
    """All lists, by cloud.

    Raises:
        pydantic.ValidationError: the data has a field that is missing, misspelt or of the wrong kind.
    """
    text = files("presets").joinpath("prices.yaml").read_text(encoding="utf-8")
    return TypeAdapter(dict[str, CloudPrices]).validate_python(yaml.load(text, Loader=yaml.CSafeLoader))


@cache
def _by_name() -> Mapping[str, Price]:
    return {
        name.lower(): _price(found, name)
        for found in load_prices().values()
        for name in found.on_demand.prices.keys() | found.spot.prices.keys()
    }


def _price(cloud: CloudPrices, name: str) -> Price:
    on_demand, spot = cloud.on_demand.prices.get(name), cloud.spot.prices.get(name)
    notes = [f"{cloud.on_demand.source}, {cloud.region}, as of {cloud.on_demand.as_of}"] if on_demand else []
    notes += [f"spot: {cloud.spot.source}, {cloud.spot.as_of}"] if spot else []
    return Price(on_demand=on_demand, spot=spot, note="; ".join(notes) or None)

"""What Azure sells in the region, and what is left of the quota. Pure.

Facts are those of Microsoft.Compute: its list of resource SKUs (sizes, zones, restrictions) and its usages (quota in
vCPUs, for each family of sizes and for the region).
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from typing import Final

from services.chassis.kube import JsonObject, dig_dict, dig_dicts, dig_int, dig_list, dig_str
from services.contracts.base import Contract
from services.contracts.offers import Offer

REGIONAL: Final = "cores"
SPOT: Final = "lowprioritycores"
"""The names of the usages that count vCPUs of all sizes, and those of spot machines."""
GIB: Final = 2**30


class Size(Contract):
    """A machine size in this region. `zones` are those where this subscription may have it."""

    name: str
    family: str = ""
    vcpus: int = 0
    zones: frozenset[str] = frozenset()
    sold: bool = True
    ephemeral_gib: int = 0
    """The largest OS disk that fits on the host; 0 where it cannot be there."""


class Market(Contract):
    """Sizes by name, quota left by usage, both in lower case. None: it could not be read."""

    sizes: dict[str, Size] | None = None
    left: dict[str, int] | None = None

    def offers(self, table: Iterable[Offer], *, spot: bool, zones: tuple[str, ...]) -> tuple[Offer, ...]:
        """The table's sizes that can be had here, with how many more of each."""
        return tuple(self._offer(offer, spot=spot) for offer in table if self._is_sold(offer, zones))

    def disk_type(self, size: str, disk_gib: int | None) -> str | None:
        """Ephemeral where the disk fits on the host. None: AKS is to choose, which by itself looks at the cache."""
        found = (self.sizes or {}).get(size.lower())
        return "Ephemeral" if found and disk_gib and found.ephemeral_gib >= disk_gib else None

    def _is_sold(self, offer: Offer, zones: tuple[str, ...]) -> bool:
        if self.sizes is None:
            return True
        found = self.sizes.get(offer.instance_type.lower())
        return found is not None and found.sold and (not zones or bool(found.zones & set(zones)))

    def _offer(self, offer: Offer, *, spot: bool) -> Offer:
        size = (self.sizes or {}).get(offer.instance_type.lower())
        vcpus = (size.vcpus if size else 0) or offer.cpu or 0
        return offer.model_copy(update={"available": self._available(size, vcpus, spot=spot)})

    def _available(self, size: Size | None, vcpus: int, *, spot: bool) -> int | None:
        """By the narrowest quota: the family's and the region's, or that of spot machines, which is one for all."""
        if self.left is None or not vcpus:
            return None
        names = (SPOT,) if spot else (REGIONAL, size.family.lower() if size else "")
        known = [self.left[name] for name in names if name in self.left]
        return max(0, min(known)) // vcpus if known else None


def read_sizes(skus: Iterable[JsonObject], region: str, known: Container[str]) -> dict[str, Size]:
    """The virtual machine sizes among the resource SKUs, of those that are `known` (names in lower case).

    A region has about a thousand, of which the table of GPU sizes has a few dozen.
    """
    wanted = (sku for sku in skus if dig_str(sku, "name").lower() in known)
    machines = (sku for sku in wanted if dig_str(sku, "resourceType") == "virtualMachines")
    here = (sku for sku in machines if _is_in(sku, region))
    return {size.name.lower(): size for sku in here if (size := _size(sku, region)).name}


def read_left(usages: Iterable[JsonObject]) -> dict[str, int]:
    """VCPUs that are left, by the usage's name. A limit of -1 is none."""
    found: dict[str, int] = {}
    for usage in usages:
        name, limit = dig_str(usage, "name", "value").lower(), dig_int(usage, "limit")
        if name and limit is not None and limit >= 0:
            found[name] = limit - (dig_int(usage, "currentValue") or 0)
    return found


def _is_in(sku: JsonObject, region: str) -> bool:
    locations = [text.lower() for text in dig_list(sku, "locations") if isinstance(text, str)]
    return not locations or region.lower() in locations


def _size(sku: JsonObject, region: str) -> Size:
    facts = {dig_str(item, "name"): dig_str(item, "value") for item in dig_dicts(sku, "capabilities")}
    here = [i for i in dig_dicts(sku, "locationInfo") if dig_str(i, "location").lower() == region.lower()]
    zones = {zone for info in here for zone in _strings(info, "zones")}
    barred = [r for r in dig_dicts(sku, "restrictions") if _bars(r, region)]
    closed = {zone for r in barred for zone in _strings(dig_dict(r, "restrictionInfo"), "zones")}
    return Size(
        name=dig_str(sku, "name"),
        family=dig_str(sku, "family"),
        vcpus=_number(facts, "vCPUs"),
        zones=frozenset(zones - closed),
        sold=not any(dig_str(r, "type") == "Location" for r in barred),
        ephemeral_gib=_ephemeral(facts),
    )


def _bars(restriction: JsonObject, region: str) -> bool:
    """Whether a restriction is for this region: it names its places in `values`, or in `restrictionInfo`."""
    places = {
        *_strings(restriction, "values"),
        *_strings(dig_dict(restriction, "restrictionInfo"), "locations"),
    }
    return not places or region.lower() in {place.lower() for place in places}


def _ephemeral(facts: Mapping[str, str]) -> int:
    """The host's cache, or its temporary disk, whichever is larger; AKS puts the disk where it fits."""
    if facts.get("EphemeralOSDiskSupported", "").lower() != "true":
        return 0
    return max(_number(facts, "CachedDiskBytes") // GIB, _number(facts, "MaxResourceVolumeMB") // 1024)


def _number(facts: Mapping[str, str], name: str) -> int:
    text = facts.get(name, "")
    return int(text) if text.isascii() and text.isdigit() else 0


def _strings(found: JsonObject, name: str) -> list[str]:
    return [text for text in dig_list(found, name) if isinstance(text, str)]

"""The machine sizes of the tables in `presets/`.

With them a size that nobody offers now is told from one that does not exist.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from difflib import get_close_matches

from services.contracts.base import Contract
from services.scheduler.catalog import Cloud, load_skus


class KnownSkus(Contract):
    """The known sizes: by name in lower case, the name as its cloud writes it and the cloud."""

    clouds: Mapping[str, tuple[str, str]]

    def cloud_of(self, name: str) -> tuple[str, str] | None:
        """The size's own spelling and its cloud, or None if no table has it."""
        return self.clouds.get(name.lower())

    def similar(self, name: str, offered: Iterable[str]) -> list[str]:
        """Up to two sizes that look like a name that is no size."""
        spellings = {n.lower(): n for n in (*offered, *(own for own, _ in self.clouds.values()))}
        return [spellings[near] for near in get_close_matches(name.lower(), spellings, n=2, cutoff=0.7)]


def load_known_skus() -> KnownSkus:
    """Read the tables of all clouds."""
    clouds: tuple[Cloud, ...] = ("azure", "aws", "arc")
    return KnownSkus(clouds={sku.name.lower(): (sku.name, cloud) for cloud in clouds for sku in load_skus(cloud)})

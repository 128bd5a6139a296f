"""The offers that `kaitobus plan` plans with: the tables of sizes that come along, or a file."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from services.chassis.settle import readable
from services.cli.manifests import BadFile, read_documents
from services.contracts.offers import Offers
from services.provisioner.skus import load_table, tables

OWN_MACHINES = ("local", "byo")
"""Providers whose machines are nobody's for sale: only they know what they have."""
_FILE = TypeAdapter(tuple[Offers, ...])


def offers_of_clouds(clouds: Sequence[str]) -> tuple[Offers, ...]:
    """The tables of the clouds that are named, or of all. Raises BadFile for one that there is not."""
    known = tables()
    if strange := sorted(set(clouds) - set(known)):
        raise BadFile(f"There is no table of the cloud {strange[0]}. There are: {', '.join(known)}.")
    now = datetime.now(UTC)
    return tuple(
        Offers(provider=cloud, offers=tuple(sku.offer() for sku in load_table(cloud).values()), published_at=now)
        for cloud in known
        if not clouds or cloud in clouds
    )


def offers_of_file(path: Path) -> tuple[Offers, ...]:
    """Offers as a provisioner publishes them, one or a list, in JSON or YAML. Raises BadFile."""
    documents = read_documents(str(path.absolute()))
    found = [item for content in documents for item in (content if isinstance(content, list) else [content])]
    if not any(found):
        raise BadFile(f"{path} holds no offers. Write a list of {_EXAMPLE}.")
    dated = [{"publishedAt": datetime.now(UTC), **item} if isinstance(item, dict) else item for item in found]
    try:
        return _FILE.validate_python(dated)
    except ValidationError as error:
        raise BadFile(f"{path} holds no offers: {readable(error)} Write a list of {_EXAMPLE}.") from error


_EXAMPLE = json.dumps({"provider": "rack", "offers": [{"instanceType": "a100", "gpus": 1, "gpuMemoryGib": 79.1}]})


def as_offered_by(provider: str | None, offers: tuple[Offers, ...]) -> tuple[Offers, ...]:
    """The offers for who names a provider that sells the clouds' sizes under a name of its own, as Karpenter does."""
    if provider is None or provider in OWN_MACHINES or any(o.provider == provider for o in offers):
        return offers
    sizes = tuple(offer for found in offers for offer in found.offers)
    return (Offers(provider=provider, offers=sizes, published_at=datetime.now(UTC), simulated=provider == "fake"),)

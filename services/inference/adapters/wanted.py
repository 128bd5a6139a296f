"""The list of adapters that the server reads, as the deployer writes it, and where it finds what they need. Pure."""

from __future__ import annotations

import hashlib
from typing import Final, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

LONGEST: Final = 2**20
"""Bytes of the longest list, as of a ConfigMap."""


class AdapterError(Exception):
    """An adapter cannot be served. The message is for the person who named it."""


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", alias_generator=to_camel, populate_by_name=True)


class Adapter(_Model):
    """One adapter: its name, how strongly it weighs, and exactly one of image, urls and volume (a key)."""

    name: str = Field(min_length=1, max_length=128, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    strength: float = Field(default=1.0, ge=0, le=1)
    image: str | None = None
    pull_secrets: tuple[str, ...] = ()
    urls: tuple[str, ...] = ()
    volume: str | None = None


class AdapterList(_Model):
    """All adapters, and the id of the model that they must have been made for."""

    base: str = ""
    adapters: tuple[Adapter, ...] = ()


class Mounts(_Model):
    """Folders of the pod: pull secrets by name, volumes by key."""

    secrets: dict[str, str] = Field(default_factory=dict)
    volumes: dict[str, str] = Field(default_factory=dict)


class Read(NamedTuple):
    """A list, and the revision by which its writer knows that it was read."""

    revision: str
    content: AdapterList


def read_list(data: bytes) -> Read:
    """Read the file. Raises AdapterError if it is no list of adapters."""
    if len(data) > LONGEST:
        raise AdapterError(f"The list of adapters has {len(data)} bytes; at most {LONGEST} are read.")
    try:
        content = AdapterList.model_validate_json(data)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise AdapterError(f"The list of adapters cannot be read: {where} {first['msg']}.") from None
    return Read(hashlib.sha256(data).hexdigest()[:16], content)

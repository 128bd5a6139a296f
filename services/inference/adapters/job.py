"""What is asked of the process that prepares an adapter, and what it answers. Both are JSON."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from services.inference.adapters.wanted import Adapter, Mounts


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True)


class Base(_Model):
    """The model that is served: its id, the folder of its files if that is known, and the largest rank of adapters."""

    id: str = ""
    folder: str | None = None
    max_rank: int = 16


class Job(_Model):
    """Prepare this adapter below the folder `home`."""

    adapter: Adapter
    mounts: Mounts = Mounts()
    base: Base = Base()
    home: str


class Prepared(_Model):
    """An adapter that the engine may load from `folder`, which has the same name only for the same content.

    `digest` is that of the image's manifest, else of the files.
    """

    folder: str
    digest: str
    rank: int


class Answer(_Model):
    """Exactly one of the two."""

    prepared: Prepared | None = None
    error: str | None = None

"""LoRA adapters in a plan: which are served beside the base model, and where their files come from. Pure."""

from __future__ import annotations

import hashlib
import json

from pydantic import Field

from services.contracts.base import Contract
from services.contracts.workspace import Schemaless


class PlannedAdapter(Contract):
    """One adapter, under the name by which requests choose it. Exactly one of image, urls and volume is set.

    `strength` scales what the adapter adds to the base model's weights: 0 is the base model, 1 the adapter as trained.
    """

    name: str
    strength: float = Field(default=1.0, ge=0, le=1)
    image: str | None = None
    pull_secrets: tuple[str, ...] = ()
    urls: tuple[str, ...] = ()
    volume: Schemaless | None = None

    @property
    def volume_key(self) -> str | None:
        """A short name for its volume, by its content; None where it has none."""
        if self.volume is None:
            return None
        return hashlib.sha256(json.dumps(self.volume, sort_keys=True).encode()).hexdigest()[:10]


class PlannedLora(Contract):
    """A server with room for adapters. None need be there yet: they come and go while it runs.

    `pull_secrets` are those that are mounted. One stays after the adapter that needed it has gone, because to take it
    away would start the server anew. `why` says how the last change reaches the server.
    """

    adapters: tuple[PlannedAdapter, ...] = ()
    pull_secrets: tuple[str, ...] = ()
    why: str = ""

    @property
    def volumes(self) -> dict[str, Schemaless]:
        """The volumes of all adapters, each once, by key."""
        return {a.volume_key: a.volume for a in self.adapters if a.volume is not None and a.volume_key is not None}

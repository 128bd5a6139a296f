"""Sizing that remembers: machines with the same GPUs, and workspaces with the same model, ask the same again. Pure."""

from __future__ import annotations

from functools import lru_cache

from services.scheduler.facts import ModelFacts
from services.scheduler.sizing import DoesNotFit, Machine, Sizing, Wish, size

REMEMBERED = 8192
"""Answers that are kept: 60 models on all known machines are 2,400. An answer takes about 2 KiB."""


class _Known:
    """A model as a key: facts hold maps, so they have no hash of their own."""

    def __init__(self, model: ModelFacts) -> None:
        self.model = model

    def __hash__(self) -> int:
        return hash(self.model.id)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Known) and (self.model is other.model or self.model == other.model)


def sized(model: ModelFacts, machine: Machine, wish: Wish) -> Sizing | DoesNotFit:
    """As `size`: the same inputs give the same answer."""
    return _sized(_Known(model), machine, wish)


@lru_cache(maxsize=REMEMBERED)
def _sized(known: _Known, machine: Machine, wish: Wish) -> Sizing | DoesNotFit:
    return size(known.model, machine, wish)

"""What is to be found among the offers."""

from __future__ import annotations

from services.contracts.base import Contract
from services.scheduler.facts import ModelFacts
from services.scheduler.sizing import Wish
from services.tuning.sections import TuningConfig


class Wanted(Contract):
    """What the user asks for. `model` is None for a pod of the user's own, which is not sized.

    `tuning` is set where the model is tuned. `held` are the provider and the size of the machines that the workspace
    has already. `spot` are the providers that the user asks for spot machines. `whole_node` is for those who want no
    neighbour on a node that can be shared.
    """

    model: ModelFacts | None
    wish: Wish = Wish()
    instance_type: str | None = None
    nodes: int = 1
    provider: str | None = None
    tuning: TuningConfig | None = None
    held: tuple[str, str] | None = None
    spot: frozenset[str] = frozenset()
    whole_node: bool = False

"""Whether a model fits a machine, on how many of them, and what it will serve there. Pure: no I/O, no clock."""

from __future__ import annotations

from services.contracts.plan import Runtime
from services.scheduler.eight_bits import as_served, refusal, warnings
from services.scheduler.facts import ModelFacts
from services.scheduler.sizing_cpu import on_cpu
from services.scheduler.sizing_gpu import on_gpus
from services.scheduler.sizing_transformers import with_transformers
from services.scheduler.sizing_types import DoesNotFit as DoesNotFit
from services.scheduler.sizing_types import Machine as Machine
from services.scheduler.sizing_types import Sizing as Sizing
from services.scheduler.sizing_types import Wish as Wish

MAX_NODES = 16
"""More nodes than this are never planned for one replica."""


def size(
    model: ModelFacts, machine: Machine, wish: Wish | None = None, max_nodes: int = MAX_NODES
) -> Sizing | DoesNotFit:
    """The fewest machines of this kind, and on them the fewest GPUs, that serve what is wished for.

    Without a wish for a context it is as long as fits, up to the model's own limit (on a CPU 2048, since it is slow
    beyond that).
    """
    wish = wish or Wish()
    if wish.context is not None and wish.context > model.context:
        return DoesNotFit(
            reason=f"{model.id} reads at most {model.context} tokens, and a context of {wish.context} was asked for."
        )
    if wish.runtime is Runtime.TRANSFORMERS:
        return with_transformers(model, machine, wish)
    if because := refusal(model, machine, wish):
        return DoesNotFit(reason=because)
    served = as_served(model, wish)
    found = on_gpus(served, machine, wish, max_nodes) if machine.gpus else on_cpu(served, machine, wish)
    if isinstance(found, DoesNotFit):
        return found
    return found.model_copy(update={"warnings": (*found.warnings, *warnings(model, wish))})

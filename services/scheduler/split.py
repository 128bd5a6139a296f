"""One way of cutting a model over GPUs."""

from __future__ import annotations

from typing import NamedTuple


class Split(NamedTuple):
    """One replica of a model on `nodes` x `gpus_per_node` GPUs: `tensor` x `pipeline` of them.

    With `expert_parallel` whole experts are dealt out over the GPUs instead of a slice of each.
    """

    tensor: int = 1
    pipeline: int = 1
    gpus_per_node: int = 1
    nodes: int = 1
    expert_parallel: bool = False

    @property
    def gpus(self) -> int:
        """All GPUs of the replica."""
        return self.tensor * self.pipeline


def stage(layers: int, pipeline: int) -> range:
    """The layers of the fullest stage of a pipeline, as the engine deals them out: the last stages get fewer."""
    if pipeline <= 1:
        return range(layers)
    each, over = divmod(layers, pipeline)
    if not over:
        return range(each)
    # What is over goes to the stages before the last, from the back.
    first = (pipeline - 1 - over) * each
    return range(first, first + each + 1)

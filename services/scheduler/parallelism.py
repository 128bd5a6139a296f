"""The ways in which a model can be cut over GPUs: tensor parallel within a node, pipeline parallel beyond it."""

from __future__ import annotations

from collections.abc import Iterator

from services.scheduler.facts import Facts, ModelFacts


class Split(Facts):
    """One replica of a model on `nodes` x `gpus_per_node` GPUs: `tensor` x `pipeline` of them."""

    tensor: int = 1
    pipeline: int = 1
    gpus_per_node: int = 1
    nodes: int = 1

    def layers(self, model: ModelFacts) -> int:
        """Layers on the fullest stage of the pipeline."""
        return -(-model.layers // self.pipeline)


def splits(model: ModelFacts, gpus: int, nodes: int) -> Iterator[Split]:
    """The splits worth trying on that many nodes of that many GPUs, fewest GPUs first.

    On one node every power of two; over several nodes as many GPUs of each as a power of two allows, since fewer
    would only need more nodes.
    """
    counts = powers_of_two(gpus) if nodes == 1 else powers_of_two(gpus)[-1:]
    for count in counts:
        tensor = max(size for size in powers_of_two(count) if divides(model, size))
        pipeline = count // tensor * nodes
        if pipeline <= model.layers:
            yield Split(tensor=tensor, pipeline=pipeline, gpus_per_node=count, nodes=nodes)


def divides(model: ModelFacts, tensor: int) -> bool:
    """Whether vLLM can cut the attention of the model into that many parts.

    Query heads must divide evenly. Key-value heads must too, or, where they are fewer, each be copied equally often.
    """
    if model.heads % tensor:
        return False
    return model.kv_heads % tensor == 0 or tensor % model.kv_heads == 0


def powers_of_two(most: int) -> list[int]:
    """1, 2, 4, ... up to `most`."""
    return [2**exponent for exponent in range(most.bit_length())]

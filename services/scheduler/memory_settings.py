"""The settings of the engine on which memory depends. Pure."""

from __future__ import annotations

from typing import NamedTuple

from services.scheduler.shapes import Shapes

SEQUENCES, LARGE_SEQUENCES = 256, 1024
"""Requests that vLLM runs at once by default: the larger number on large GPUs since Hopper."""


class EngineLimits(NamedTuple):
    """Limits with which vLLM is started, but for the context, which is what is looked for."""

    utilization: float = 0.9
    batched: int = 2048
    sequences: int = SEQUENCES
    cache_dtype: str = "auto"
    eager: bool = False
    adapters: int = 0
    """Slots for LoRA adapters (max-loras); 0 without."""
    adapter_rank: int = 16
    fine_graphs: bool = False
    """Graphs for every small number of requests (performance mode interactivity)."""

    @property
    def rows(self) -> int:
        """Requests that one step can hold."""
        return min(self.sequences, self.batched)


_NEW_RUNNER = frozenset(
    {
        "DeepseekV2ForCausalLM",
        "GraniteMoeForCausalLM",
        "InklingForCausalLM",
        "InklingForConditionalGeneration",
        "LongcatFlashNgramForCausalLM",
        "Qwen2MoeForCausalLM",
    }
)


def new_runner(shapes: Shapes) -> bool:
    """Whether vLLM 0.26 runs the model with its second model runner.

    It does for all models without experts or states, and for a few with experts. The second runner samples in less
    memory, and does not count its CUDA graphs as part of what it may use; the first one does.
    A model that is not known well enough is reckoned by the first, which takes more.
    """
    if shapes.hybrid or shapes.guessed:
        return False
    return not shapes.mixture or shapes.architecture in _NEW_RUNNER

"""What the engine is to be good at: KAITO's annotation `kaito.sh/performance-mode`. Pure.

vLLM has a flag of the same name. Its throughput mode doubles two limits only where they are not set; a plan sets them,
since memory depends on them, and so doubles them itself.
"""

from __future__ import annotations

from enum import StrEnum


class Mode(StrEnum):
    """The modes of vLLM's `--performance-mode`."""

    BALANCED = "balanced"
    INTERACTIVITY = "interactivity"
    THROUGHPUT = "throughput"

    @property
    def growth(self) -> int:
        """How many times the tokens of a step, and the requests at once, of the balanced mode."""
        return 2 if self is Mode.THROUGHPUT else 1

    def effect(self, *, graphs: bool) -> str:
        """What it does beside the balanced one, in a sentence; `graphs` says whether CUDA graphs are recorded."""
        if self is Mode.THROUGHPUT:
            return (
                "Mode throughput: many requests together count more than each, so a step takes twice the tokens and "
                "twice the requests, where you did not set them yourself."
            )
        if not graphs:
            return "Mode interactivity: it asks for finer CUDA graphs, and without graphs it changes nothing here."
        return (
            "Mode interactivity: few requests are answered fast, by a CUDA graph for each number of requests up to "
            "32, which takes some more memory."
        )

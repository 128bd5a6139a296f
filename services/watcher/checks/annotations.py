"""Annotations of ours with a closed set of values. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from services.contracts.serving import BadServing, serving_of
from services.contracts.workspace import ANNOTATION_ENABLE_LB, ANNOTATION_WHOLE_NODE, GROUP

PERFORMANCE_MODES = ("balanced", "interactivity", "throughput")
IMAGE_FAMILIES = ("ubuntu", "azurelinux", "al2023", "bottlerocket")
"""Of AKS and of EKS. Which a provider has, it says itself."""
SWITCHES = (ANNOTATION_ENABLE_LB, ANNOTATION_WHOLE_NODE)
SPOT = f".{GROUP}/spot"
"""How a provider's annotation for spot machines ends: prices are counted by it."""


def invalid_annotations(annotations: Mapping[str, str]) -> Iterator[str]:
    """Annotations of ours that cannot be read."""
    for key, allowed in (
        ("kaito.sh/performance-mode", PERFORMANCE_MODES),
        ("kaito.sh/node-image-family", IMAGE_FAMILIES),
        ("kaito.sh/runtime", ("vllm", "transformers")),
    ):
        value = annotations.get(key)
        if value is not None and value not in allowed:
            yield f"Annotation {key} must be one of {', '.join(allowed)}; it is {value!r}."
    for key, value in annotations.items():
        if (key in SWITCHES or key.endswith(SPOT)) and value.lower() not in ("true", "false"):
            yield f"Annotation {key} must be true or false; it is {value[:100]!r}."
    try:
        serving_of(annotations)
    except BadServing as error:
        yield str(error)

"""Annotations with a closed set of values. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from services.contracts.serving import BadServing, serving_of

PERFORMANCE_MODES = ("balanced", "interactivity", "throughput")
IMAGE_FAMILIES = ("ubuntu", "azurelinux")


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
    try:
        serving_of(annotations)
    except BadServing as error:
        yield str(error)

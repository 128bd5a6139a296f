"""What is tuned, and where the result goes. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from services.contracts.workspace import DataDestination, Tuning, TuningMethod
from services.watcher.checks.sources import invalid_image, invalid_source


def invalid_tuning(tuning: Tuning, count: int) -> Iterator[str]:
    """What cannot be tuned on `count` nodes."""
    if tuning.preset is None:
        yield "tuning.preset is missing: name the model to tune."
    if tuning.method.lower() not in tuple(TuningMethod):
        yield f"tuning.method must be lora or qlora; it is {tuning.method!r}."
    if count != 1:
        yield f"Tuning runs on one node: set resource.count to 1; it is {count}."
    yield from invalid_source(tuning.input, "tuning.input")
    yield from invalid_image(tuning.input.image, "tuning.input.image")
    yield from _invalid_destination(tuning.output)


def _invalid_destination(output: DataDestination) -> Iterator[str]:
    if (output.image is None) == (output.volume_source is None):
        yield "tuning.output needs exactly one of image and volumeSource."
    if output.image is not None and not output.image_push_secret:
        yield "tuning.output.image needs imagePushSecret: the name of a secret that opens the registry."
    yield from invalid_image(output.image, "tuning.output.image")
    if output.image and "@" in output.image:
        yield (
            f"tuning.output.image is {output.image[:200]!r}: what is pushed gets its digest only then. Name a tag, "
            "such as registry.example.com/team/adapter:v1."
        )

"""What is served: a preset with its adapters, or a pod of the user's own. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator

from services.contracts.workspace import Adapter, Inference
from services.watcher.checks.sources import invalid_image, invalid_source
from services.watcher.checks.template import invalid_template

_ADAPTER_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


def invalid_inference(inference: Inference) -> Iterator[str]:
    """What cannot be served."""
    if (inference.preset is None) == (inference.template is None):
        yield "inference needs exactly one of preset and template."
    if inference.template is not None and inference.adapters:
        yield "inference.adapters are served beside a preset. A template runs what it says: remove one of the two."
    if inference.template is not None:
        yield from invalid_template(inference.template)
    for index, adapter in enumerate(inference.adapters or ()):
        yield from _invalid_adapter(adapter, f"inference.adapters[{index}]")
    names = [adapter.source.name for adapter in inference.adapters or () if adapter.source]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice:
        yield f"inference.adapters must have different names; {twice} stands there twice."


def _invalid_adapter(adapter: Adapter, where: str) -> Iterator[str]:
    source = adapter.source
    if source is None or not source.name:
        yield f"{where}.source needs a name: requests choose the adapter by it."
    else:
        if not _ADAPTER_NAME.fullmatch(source.name):
            yield (
                f"{where}.source.name is {source.name[:100]!r}: use at most 128 letters, digits, dots, dashes and "
                "underscores, with a letter or digit first."
            )
        yield from invalid_source(source, f"{where}.source")
        yield from invalid_image(source.image, f"{where}.source.image")
    if not _is_strength(adapter.strength):
        yield f'{where}.strength must be a number from 0 to 1 in quotes, such as "0.5"; it is {adapter.strength!r}.'


def _is_strength(text: str | None) -> bool:
    try:
        return 0 <= float(text if text is not None else "1") <= 1
    except ValueError:
        return False

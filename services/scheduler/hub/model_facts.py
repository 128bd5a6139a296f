"""Facts on a model from its files, as those of the catalogue; or why it cannot be sized and served. Pure."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from math import ceil
from typing import Final

from services.scheduler.architectures import Architectures
from services.scheduler.config_json import read_config_json
from services.scheduler.facts import ModelFacts
from services.scheduler.hub.errors import unusable
from services.scheduler.hub.fetch import Config, Fetched
from services.scheduler.hub.repository import CONFIG, download_bytes
from services.scheduler.hub.weights import TensorGroup, Weights
from services.scheduler.own_code import brings_model_code, needs_words
from services.scheduler.shapes import Mixer, NoShapes, Shapes

GIB: Final = 2**30
MOST_FIELDS: Final = 400
"""Fields of a config that are tried one by one; real ones have 20 to 150."""
LONGEST_CONFIG: Final = 256 * 2**10
"""Characters of the fields that are kept; a mixture that lists its parts by name has some 50,000."""
SYSTEM_DISK_GIB: Final = 80
"""Disk beside the weights: the image and the system, as KAITO reckons."""
_WIDE: Final = {"F32": 4, "F64": 8}
"""Types that the engine narrows to 16 bits while it loads a model that is not quantised, in bytes an element."""
LOADED_ELEMENT: Final = 2


def reader(architectures: Architectures) -> Callable[[Fetched], ModelFacts]:
    """A reader for models that are about to be served.

    They are read with the token that they will be downloaded with, so nobody need be told that they are gated.
    """

    def read(fetched: Fetched) -> ModelFacts:
        return model_facts(fetched, architectures).model_copy(update={"gated": False})

    return read


def model_facts(fetched: Fetched, architectures: Architectures) -> ModelFacts:
    """The facts. Raises HubError with the reason why there are none."""
    repository, config = fetched.repository, fetched.config
    shapes = read_config_json(config)
    if isinstance(shapes, NoShapes):
        raise unusable(f"{repository.id} cannot be sized: {shapes.reason}")
    because = architectures.why_not(repository.id, shapes.architecture)
    own_code = _own_code(fetched, shapes, architectures) if because else None
    if because and not own_code and shapes.architecture not in architectures.transformers:
        raise unusable(because)
    loaded = loaded_bytes(fetched.weights, shapes, quantized="quantization_config" in config)
    return ModelFacts(
        id=repository.id,
        revision=repository.revision,
        license=_license(repository.license),
        weights_gib=max(0.01, round(loaded / GIB, 2)),
        disk_gib=ceil(download_bytes(repository, fetched.weights.size) / GIB) + SYSTEM_DISK_GIB,
        architecture=shapes.architecture,
        context=shapes.context,
        quantization=quantization(config),
        gated=bool(repository.gated) or repository.private,
        config=essential(config, shapes),
        transformers=shapes.architecture in architectures.transformers,
        vllm_lacks=None if own_code else because,
        own_code=own_code,
        lora=shapes.architecture not in architectures.without_lora,
        **_sizes(shapes),
    )


def _own_code(fetched: Fetched, shapes: Shapes, architectures: Architectures) -> str | None:
    """What to say of a model that its own code alone can load."""
    known = architectures.other | architectures.transformers
    if shapes.architecture in known or not brings_model_code(fetched.config):
        return None
    return needs_words(fetched.repository.id, shapes.architecture, architectures.engine)


def loaded_bytes(weights: Weights, shapes: Shapes, *, quantized: bool) -> int:
    """Bytes of the weights once they are loaded: an output that is tied to the embedding is not loaded twice."""
    return sum(
        _loaded(group, quantized=quantized)
        for group in weights.groups
        if not (shapes.tied and group.name.endswith("lm_head.weight"))
    )


def _loaded(group: TensorGroup, *, quantized: bool) -> int:
    wide = None if quantized else _WIDE.get(group.dtype)
    return group.size * LOADED_ELEMENT // wide if wide else group.size


def quantization(config: Config) -> str | None:
    """How the weights are quantised, by the names that the catalogue uses."""
    found = config.get("quantization_config") or config.get("compression_config")
    if not isinstance(found, dict):
        return None
    method = str(found.get("quant_method") or "unknown").lower()[:40]
    layout = found.get("format")
    if method == "compressed-tensors" and isinstance(layout, str):
        return layout[:40]
    return f"{method}-{found.get('bits') or 4}"[:40] if method in ("awq", "gptq") else method


def essential(config: Config, shapes: Shapes) -> dict[str, object]:
    """The fields without which the shapes would be others: what is worth keeping of a config of any size.

    The parts within it (`text_config`, `vision_config`, `quantization_config`) are gone through in the same way.
    """
    kept: dict[str, object] = dict(config)
    for path in islice(_paths(config), MOST_FIELDS):
        if read_config_json(fewer := _without(kept, path)) == shapes:
            kept = fewer
    if len(json.dumps(kept)) > LONGEST_CONFIG:
        raise unusable(f"{CONFIG} has more fields that matter than any model's; it is not read.")
    return kept


def _paths(config: Config) -> Iterator[tuple[str, ...]]:
    """Where the fields are: whole parts first, so that a part that does not matter goes at once."""
    yield from ((name,) for name in config)
    for name, part in config.items():
        if isinstance(part, dict):
            yield from ((name, inner) for inner in part)


def _without(config: dict[str, object], path: tuple[str, ...]) -> dict[str, object]:
    name, *inner = path
    part = config.get(name)
    if inner and isinstance(part, dict):
        return {**config, name: {key: value for key, value in part.items() if key != inner[0]}}
    return config if inner else {key: value for key, value in config.items() if key != name}


def _sizes(shapes: Shapes) -> Mapping[str, int | bool | None]:
    """The plain sizes that the catalogue has for every model; a model without attention has none of its heads."""
    attention, latent, experts = shapes.attention, shapes.latent, shapes.experts
    return {
        "layers": shapes.layers,
        "heads": attention.heads if attention else 1,
        "kv_heads": attention.kv_heads if attention else 1,
        "head_dim": attention.head_dim if attention else shapes.hidden,
        "hidden_size": shapes.hidden,
        "intermediate_size": max(shapes.intermediate, experts.width * experts.chosen if experts else 0) or None,
        "vocab_size": shapes.vocab,
        "kv_lora_rank": latent.kv_rank if latent else None,
        "qk_rope_head_dim": latent.rope_dim if latent else None,
        "kv_upper_bound": any(mixer is not Mixer.FULL for mixer in shapes.mixers),
    }


def _license(named: str | list[str] | None) -> str:
    return (", ".join(named) if isinstance(named, list) else named or "unknown")[:80]

"""Whether an adapter's matrices fit the weights of the model that is served. Pure.

For each weight W (out x in) that PEFT adapts there are A (rank x in) and B (out x rank), named
`base_model.model.<module>.lora_A.weight` and `...lora_B.weight`; for embeddings `lora_embedding_A` and `_B`.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from services.inference.adapters.tensors import Shape
from services.inference.adapters.wanted import AdapterError

_MATRIX: Final = re.compile(r"(?:base_model\.model\.)?(?P<module>.+)\.lora_(?P<side>[AB])\.weight")
_EMBEDDING: Final = re.compile(r"(?:base_model\.model\.)?(?P<module>.+)\.lora_embedding_(?P<side>[AB])")
_IN_LAYER: Final = re.compile(r"(?:^|\.)(\w+\.\d+\..+)$")
_EXTENSIONS: Final = (".embed_tokens.base_layer.weight", ".lm_head.base_layer.weight")
"""Weights of the base model that PEFT writes beside an adapter of embeddings; the engine passes over them."""
_OUTER: Final = ("embed_tokens", "lm_head", "wte")


class Pair(NamedTuple):
    """The two matrices of one module."""

    a: Shape
    b: Shape

    @property
    def rank(self) -> int:
        """The rank."""
        return self.a[0]


def pairs(tensors: Mapping[str, Shape]) -> dict[str, Pair]:
    """The matrices by module. Raises AdapterError for tensors that belong to no LoRA, or whose partner is missing."""
    sides: dict[str, dict[str, Shape]] = defaultdict(dict)
    for name, shape in tensors.items():
        if name.endswith(_EXTENSIONS):
            continue
        found = _MATRIX.fullmatch(name) or _EMBEDDING.fullmatch(name)
        if found is None:
            raise AdapterError(
                f"It holds {name[:200]}, which is no part of a plain LoRA adapter: whole layers (modules_to_save), "
                "DoRA and biases are not served."
            )
        sides[found["module"]][found["side"]] = shape
    if not sides:
        raise AdapterError("adapter_model.safetensors holds no matrices at all.")
    return {module: _pair(module, found) for module, found in sides.items()}


def _pair(module: str, sides: Mapping[str, Shape]) -> Pair:
    if len(sides) != 2:
        raise AdapterError(f"{module} has only one of its two matrices: the adapter is not whole.")
    pair = Pair(sides["A"], sides["B"])
    if len(pair.a) != 2 or len(pair.b) != 2 or pair.a[0] != pair.b[1] or not pair.rank:
        raise AdapterError(f"The matrices of {module} do not fit each other: {_times(pair.a)} and {_times(pair.b)}.")
    return pair


def check_fit(adapter: Mapping[str, Pair], model: Mapping[str, Shape], base: str) -> None:
    """Raises AdapterError where the adapter changes what the model does not have, or has in another size.

    `model` are the tensors of the model's files; if none are known, nothing is checked.
    """
    known = _by_place(model)
    if not known:
        return
    modules = [module for module in adapter if ".experts" not in module and _place(module) not in _OUTER]
    unknown = sorted(module for module in modules if _place(module) not in known)
    if unknown:
        more = f" and {len(unknown) - 1} more" if len(unknown) > 1 else ""
        raise AdapterError(
            f"It changes {unknown[0]}{more}, which {base} does not have: it was made for a model that is built in "
            "another way."
        )
    for module in modules:
        _check_size(module, adapter[module], known[_place(module)], base)


def _check_size(module: str, pair: Pair, shapes: Iterable[Shape | None], base: str) -> None:
    wanted = (pair.b[0], pair.a[1])
    shapes = set(shapes)
    if None in shapes or {wanted, wanted[::-1]} & shapes:
        return
    have = " or ".join(sorted(_times(shape) for shape in shapes if shape))
    raise AdapterError(
        f"It changes {module} as a matrix of {_times(wanted)}, and in {base} that is {have}: it was made for a model "
        "of another size."
    )


def _by_place(model: Mapping[str, Shape]) -> dict[str, set[Shape | None]]:
    """The shapes of the model's matrices by their place; None for one that is packed (quantized weights)."""
    matrices: dict[str, Shape | None] = {}
    for name, shape in model.items():
        module, _, part = name.rpartition(".")
        if part == "weight" and len(shape) == 2 and 1 not in shape:
            matrices[module] = shape
        else:
            matrices.setdefault(module, None)
    found: dict[str, set[Shape | None]] = defaultdict(set)
    for module, matrix in matrices.items():
        found[_place(module)].add(matrix)
    return found


def _place(module: str) -> str:
    """The module from its layer on: what stands before differs between a model's files and its classes."""
    found = _IN_LAYER.search(module)
    return found[1] if found else module.rpartition(".")[2]


def _times(shape: Shape) -> str:
    return " x ".join(map(str, shape))

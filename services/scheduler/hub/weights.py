"""What a model's tensors weigh, gathered into groups that are small enough to keep. Pure.

A large mixture of experts has 90,000 tensors. Those of all layers and experts that bear one name and type become one
group, such as `model.layers.*.mlp.experts.*.up_proj.weight`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from services.scheduler.facts import Facts
from services.scheduler.hub.safetensors_header import Tensor

MOST_GROUPS: Final = 4096
"""Groups that are kept apart; what comes after them is counted under `OTHERS`."""
MOST_TENSORS: Final = 1_000_000
OTHERS: Final = "(others)"
_LAYER: Final = re.compile(r"(?:model\.)?(?:language_model\.)?(?:model\.)?layers\.(\d{1,6})\.")
"""A layer of the language model. Towers for pictures and sound count their own."""
_NUMBER: Final = re.compile(r"(?<=\.)\d+(?=\.)")


class TensorGroup(Facts):
    """Tensors that differ in layer or expert only. `size` in bytes, all together."""

    name: str
    dtype: str
    count: int
    size: int


class Weights(Facts):
    """All tensors that the engine loads. A layer beyond the model's own is a draft for speculative decoding."""

    groups: tuple[TensorGroup, ...]
    beyond: int = 0
    """Bytes of further layers, which the engine leaves on the disk."""

    @property
    def size(self) -> int:
        """Bytes that are loaded."""
        return sum(group.size for group in self.groups)

    @property
    def by_dtype(self) -> dict[str, int]:
        """Bytes by type, the largest share first."""
        sums: dict[str, int] = {}
        for group in self.groups:
            sums[group.dtype] = sums.get(group.dtype, 0) + group.size
        return dict(sorted(sums.items(), key=lambda item: (-item[1], item[0])))


class TooManyTensors(ValueError):
    """More tensors than any model has."""


class WeightSum:
    """Adds up files as they come. A tensor that two files hold is counted once.

    `layers` is the number of the model's layers, where known.
    """

    def __init__(self, layers: int | None = None) -> None:
        self._layers = layers
        self._seen: set[int] = set()
        """Hashes of names: the names of a large model would take more memory than all else."""
        self._groups: dict[tuple[str, str], tuple[int, int]] = {}
        self._beyond = 0

    def add(self, tensors: Iterable[Tensor]) -> None:
        """Count the tensors of one file. Raises TooManyTensors."""
        for tensor in tensors:
            name = hash(tensor.name)
            if name not in self._seen:
                self._seen.add(name)
                self._count(tensor)
        if len(self._seen) > MOST_TENSORS:
            raise TooManyTensors(f"it has more than {MOST_TENSORS} tensors")

    def weights(self) -> Weights:
        """The sum so far."""
        groups = (
            TensorGroup(name=name, dtype=dtype, count=count, size=size)
            for (name, dtype), (count, size) in sorted(self._groups.items())
        )
        return Weights(groups=tuple(groups), beyond=self._beyond)

    def _count(self, tensor: Tensor) -> None:
        if self._is_beyond(tensor.name):
            self._beyond += tensor.size
            return
        key = (_NUMBER.sub("*", tensor.name), tensor.dtype)
        if key not in self._groups and len(self._groups) >= MOST_GROUPS:
            key = (OTHERS, tensor.dtype)
        count, size = self._groups.get(key, (0, 0))
        self._groups[key] = (count + 1, size + tensor.size)

    def _is_beyond(self, name: str) -> bool:
        layer = _LAYER.match(name)
        return self._layers is not None and layer is not None and int(layer[1]) >= self._layers

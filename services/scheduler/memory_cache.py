"""What a request keeps on one GPU, as the engine lays it out in blocks. Pure.

The engine (vLLM 0.26, `v1/core/kv_cache_utils.py`) hands out blocks of one size from one pool:

1. Each layer has a page: the bytes of one of its blocks. Pages are made equal, by blocks of more tokens where a token
   takes less, and for a layer that keeps a state by blocks as long as the state is large, and padding.
2. Layers of a kind form groups of equal size, the size being the number of layers of the rarest kind (or of the
   commonest, where that is less than half as many more). A block holds a page of each layer of one group.
3. A request takes, of each group: blocks for all its tokens (full attention), for its window and the tokens that are
   being computed (sliding window), or one block (state).
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from functools import lru_cache
from math import ceil, gcd
from typing import NamedTuple

from services.scheduler.shapes import Attention, Mixer, Shapes, State
from services.scheduler.split import Split, stage

BLOCK_TOKENS = 16
"""Tokens of a block where nothing else demands more."""
LATENT_BLOCK_TOKENS = 64
"""Tokens of a block of latent vectors (MLA), as its kernels on Hopper and later want it."""
ELEMENT_BYTES = {"auto": 2, "bfloat16": 2, "float16": 2}
"""Bytes of a value in the cache by the engine's `kv-cache-dtype`; all others are of 8 bits."""


class Keeps(StrEnum):
    """What of a request a group of layers keeps."""

    ALL = "all"
    WINDOW = "window"
    CHUNK = "chunk"
    STATE = "state"


class Page(NamedTuple):
    """One layer's share of a block: so many tokens (0 for a state) in so many bytes."""

    keeps: Keeps
    tokens: int
    size: int


class Group(NamedTuple):
    """Layers whose blocks are handed out together; there are so many `copies` of it."""

    keeps: Keeps
    tokens: int
    copies: int = 1


class Layout(NamedTuple):
    """How the cache is cut into blocks. A request takes blocks of every group."""

    block_bytes: int
    """Bytes of one block on one GPU; 0 where nothing is kept."""
    groups: tuple[Group, ...]
    window: int = 0
    chunk: int = 0
    in_flight: int = 0
    """Tokens that may be being computed: blocks that leave a window are free only after the step."""

    def blocks(self, length: int) -> int:
        """Blocks that one request of that many tokens may take at once."""
        return sum([group.copies * self._of(group, length) for group in self.groups])

    def _of(self, group: Group, length: int) -> int:
        if group.keeps is Keeps.STATE:
            return 1
        if group.keeps is Keeps.WINDOW:
            return -(-min(self.window - 1 + self.in_flight, length) // group.tokens) + 1
        if group.keeps is Keeps.CHUNK:
            return -(-min(self.chunk + self.in_flight, length) // group.tokens)
        return -(-length // group.tokens)

    def total_blocks(self, cache_bytes: float) -> int:
        """Whole blocks in a cache."""
        return max(0, int(cache_bytes // self.block_bytes)) if self.block_bytes else 0

    def tokens(self, cache_bytes: float, length: int) -> int:
        """Tokens of requests of that length that the cache holds, as the engine counts them when it starts."""
        each = self.blocks(length)
        return int(self.total_blocks(cache_bytes) / each * length) if each else 0

    def bytes_per_token(self, length: int) -> int:
        """Bytes that a token of a request of that length takes."""
        return round(self.blocks(length) * self.block_bytes / length)

    def longest(self, cache_bytes: float, most: int, requests: int = 1) -> int:
        """The longest length, of up to `most` tokens, of which so many requests fit at once. 0 where none does."""
        blocks = self.total_blocks(cache_bytes)
        if requests * self.blocks(most) <= blocks:
            return most
        if len(self.groups) == 1 and self.groups[0].keeps is Keeps.ALL:
            return blocks // (requests * self.groups[0].copies) * self.groups[0].tokens
        low, high = 0, most
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if requests * self.blocks(middle) <= blocks else (low, middle)
        return low


@lru_cache(maxsize=4096)
def layout(shapes: Shapes, split: Split, cache_dtype: str, batched: int) -> Layout:
    """The layout on the fullest GPU. `batched` are the tokens of one step; the engine prepares one while one runs."""
    value = ELEMENT_BYTES.get(cache_dtype, 1)
    pages = _pages(shapes, split, value)
    if not pages:
        return Layout(block_bytes=0, groups=())
    per_layer, groups = _grouped(_unified(pages))
    share = len(stage(shapes.layers, split.pipeline)) / shapes.layers
    return Layout(
        block_bytes=ceil(per_layer[1] * share) * per_layer[0],
        groups=groups,
        window=shapes.window or 0,
        chunk=shapes.chunk or 0,
        in_flight=batched * (split.pipeline + 1),
    )


def _pages(shapes: Shapes, split: Split, value: int) -> list[Page]:
    """One page a layer, two where attention and a state stand side by side."""
    block = _block_tokens(shapes, split.tensor, value)
    kinds = shapes.mixers[: shapes.layers - shapes.kv_shared_layers]
    return [page for mixer in kinds for page in _of_layer(shapes, mixer, split.tensor, value, block)]


def _of_layer(shapes: Shapes, mixer: Mixer, tensor: int, value: int, block: int) -> Iterator[Page]:
    if mixer in (Mixer.STATE, Mixer.BOTH) and shapes.state:
        size = state_bytes(shapes.state, tensor)
        full = block * _token_bytes(shapes, Mixer.FULL, tensor, value) if shapes.attends else 0
        yield Page(Keeps.STATE, 0, max(size, full))
    if mixer in (Mixer.FULL, Mixer.BOTH):
        yield Page(Keeps.ALL, block, block * _token_bytes(shapes, Mixer.FULL, tensor, value))
    if mixer is Mixer.WINDOW:
        yield Page(Keeps.WINDOW, block, block * _token_bytes(shapes, mixer, tensor, value))
    if mixer is Mixer.CHUNK:
        yield Page(Keeps.CHUNK, block, block * _token_bytes(shapes, mixer, tensor, value))


def _token_bytes(shapes: Shapes, mixer: Mixer, tensor: int, value: int) -> int:
    """Bytes of one token in one layer on one GPU. A latent vector is whole on each."""
    if shapes.latent and not shapes.latent.expanded:
        index = shapes.latent.indexer_dim + 4 if shapes.latent.indexer_heads else 0
        return shapes.latent.width * value + index
    heads = shapes.wide if shapes.wide and mixer is Mixer.FULL else shapes.attention
    return _heads_bytes(heads, tensor, value) if heads else 0


def _heads_bytes(heads: Attention, tensor: int, value: int) -> int:
    return max(1, heads.kv_heads // tensor) * (heads.head_dim + heads.value_dim) * value


def _block_tokens(shapes: Shapes, tensor: int, value: int) -> int:
    """Tokens of a block of full attention: enough that its page holds a state, where there is one."""
    least = LATENT_BLOCK_TOKENS if shapes.latent and not shapes.latent.expanded else BLOCK_TOKENS
    if not shapes.state or not shapes.attends:
        return least
    token = _token_bytes(shapes, Mixer.FULL, tensor, value)
    return least * max(1, ceil(state_bytes(shapes.state, tensor) / (least * token)))


def state_bytes(state: State, tensor: int) -> int:
    """Bytes of one layer's state of one request on one GPU."""
    convolution = state.conv_width * state.conv_length * 2
    matrices = state.heads * state.head_elements * state.matrix_bytes
    return ceil((convolution + matrices) / tensor)


def _unified(pages: list[Page]) -> list[Page]:
    """Pages of one size: by more tokens a block where they divide, else by padding."""
    largest = max(page.size for page in pages)
    if all(page.keeps is Keeps.ALL for page in pages):
        return pages
    return [
        Page(page.keeps, page.tokens * (largest // page.size) if largest % page.size == 0 else page.tokens, largest)
        for page in pages
    ]


def _grouped(pages: list[Page]) -> tuple[tuple[int, int], tuple[Group, ...]]:
    """The page's size and layers of a group, and the groups."""
    kinds = list(dict.fromkeys(pages))
    if all(page.keeps is Keeps.ALL for page in kinds):
        # Layers that keep all tokens share one group, whatever a token takes in each.
        common = gcd(*(page.size for page in pages))
        return (common, sum(page.size for page in pages) // common), (Group(Keeps.ALL, pages[0].tokens),)
    counts = {kind: pages.count(kind) for kind in kinds}
    fewest, most = min(counts.values()), max(counts.values())
    size = most if most < 1.5 * fewest else fewest
    groups = tuple(Group(kind.keeps, kind.tokens, ceil(count / size)) for kind, count in counts.items())
    return (pages[0].size, size), groups

"""What a model is built of, as far as its memory depends on it: the shapes that a `config.json` or a preset gives."""

from __future__ import annotations

from enum import StrEnum
from functools import cached_property

from pydantic import Field

from services.scheduler.frozen import Facts


class Mixer(StrEnum):
    """How one layer mixes tokens, which decides what it keeps of a request."""

    FULL = "full"
    """Attention to all tokens: keys and values of each."""
    WINDOW = "window"
    """Attention to the last tokens: a window's worth of keys and values."""
    CHUNK = "chunk"
    """Attention within a chunk of tokens."""
    STATE = "state"
    """A state space, a linear attention or a short convolution: a state of one size, however long the request."""
    BOTH = "both"
    """Full attention and a state side by side, as in Falcon H1."""
    NONE = "none"
    """Neither: the layer has an MLP only, as in Nemotron H."""


class Feed(StrEnum):
    """What one layer has beside its mixer."""

    DENSE = "dense"
    EXPERTS = "experts"
    NONE = "none"


class Attention(Facts):
    """The heads of one kind of layer. Widths in elements."""

    heads: int = Field(gt=0)
    kv_heads: int = Field(gt=0)
    head_dim: int = Field(gt=0)
    value_dim: int = Field(gt=0)
    shared_key: bool = False
    """The values are the keys, which saves their weights but not their place in the cache (Gemma 4)."""
    gated: bool = False
    """The queries' projection has a gate as wide as the queries (Qwen3-Next, Qwen3.5)."""


class Latent(Facts):
    """Multi-head latent attention (MLA): keys and values of all heads in one vector, which is never cut."""

    kv_rank: int = Field(gt=0)
    rope_dim: int = Field(gt=0)
    nope_dim: int = Field(gt=0)
    value_dim: int = Field(gt=0)
    query_rank: int | None = None
    indexer_heads: int = 0
    indexer_dim: int = 0
    """Sparse attention (DeepSeek V3.2, GLM 5) keeps a key of its own for each token."""
    expanded: bool = False
    """The engine has no MLA for it: keys and values of all heads are cached (MiniCPM 3)."""

    @property
    def width(self) -> int:
        """Elements that one token takes in one layer's cache."""
        return self.kv_rank + self.rope_dim


class Experts(Facts):
    """A mixture of experts. `shared_width` is the width of all shared experts together."""

    count: int = Field(gt=0)
    chosen: int = Field(gt=0)
    width: int = Field(gt=0)
    shared_width: int = 0
    latent_width: int | None = None
    """Experts that work in a narrower space than the model (Nemotron 3 Super)."""


class State(Facts):
    """The state of a layer that keeps no keys: a window of a convolution, and a matrix a head. Sizes in elements."""

    conv_width: int = Field(ge=0)
    conv_length: int = Field(ge=0)
    """Tokens that the convolution remembers: its kernel less one."""
    heads: int = Field(ge=0)
    head_elements: int = Field(ge=0)
    matrix_bytes: int = Field(default=2, gt=0)
    """Bytes of one element of the matrices: 4 where the model asks for float32."""
    in_width: int = Field(ge=0)
    """Width of what the layer computes from a hidden state at once: its input projections together."""
    out_width: int = Field(ge=0)
    weight_elements: int = Field(ge=0)
    """Elements of the weights of one layer's mixer."""


class Quantization(Facts):
    """Weights of fewer bits. `bits` counts scales and zero points too; `kept` are parts that stay at full width."""

    method: str
    bits: float = Field(gt=0, le=32)
    experts_only: bool = False
    """Only the experts' weights are of fewer bits, as in gpt-oss."""
    embeddings: bool = False
    """The embeddings are of fewer bits, too."""


class Tower(Facts):
    """An encoder of pictures or sound before the model: the elements of its weights, and its widths."""

    weight_elements: int = Field(ge=0)
    hidden: int = Field(ge=0)
    intermediate: int = Field(ge=0)


class Shapes(Facts):
    """A model. Widths in elements, `context` in tokens.

    `mixers` and `feeds` have one entry a layer. `window` and `chunk` are in tokens. `wide` are the heads of layers
    with full attention where those of the others differ (Gemma 4).
    """

    architecture: str
    model_type: str
    context: int = Field(gt=0)
    hidden: int = Field(gt=0)
    intermediate: int = Field(ge=0)
    widths: tuple[int, ...] = ()
    """The MLP's width in each layer where they differ; then `intermediate` is the largest."""
    vocab: int = Field(gt=0)
    tied: bool = False
    """One table serves as embedding and as output."""
    gated_mlp: bool = True
    positions: int = 0
    """Rows of a learned table of positions."""
    element_bytes: int = Field(default=2, gt=0)
    mixers: tuple[Mixer, ...] = Field(min_length=1)
    feeds: tuple[Feed, ...] = Field(min_length=1)
    attention: Attention | None = None
    wide: Attention | None = None
    latent: Latent | None = None
    experts: Experts | None = None
    state: State | None = None
    window: int | None = None
    chunk: int | None = None
    kv_shared_layers: int = 0
    """The last layers that use the cache of earlier ones."""
    per_layer_embedding: int = 0
    """Elements a token and layer of a second table of embeddings (Gemma 3n, Gemma 4)."""
    quantization: Quantization | None = None
    tower: Tower | None = None
    guessed: bool = False
    """Not all that counts is known of the model: it is reckoned on the large side."""

    def __hash__(self) -> int:
        """Worked out once: shapes are the key under which their memory is remembered."""
        return self._hash

    @cached_property
    def _hash(self) -> int:
        return hash(self.model_dump_json())

    @property
    def layers(self) -> int:
        """Layers of the whole model."""
        return len(self.mixers)

    @cached_property
    def attends(self) -> bool:
        """Whether any layer has attention."""
        return any(mixer not in (Mixer.STATE, Mixer.NONE) for mixer in self.mixers)

    @cached_property
    def hybrid(self) -> bool:
        """Whether any layer keeps a state."""
        return any(mixer in (Mixer.STATE, Mixer.BOTH) for mixer in self.mixers)

    @cached_property
    def mixture(self) -> bool:
        """Whether any layer has experts."""
        return Feed.EXPERTS in self.feeds


class NoShapes(Facts):
    """Why a `config.json` cannot be used; `reason` is a sentence for the person whose model it is."""

    reason: str

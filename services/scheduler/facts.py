"""What is known of models and machines: the rows of `presets/`, as frozen values.

Sizes are in GiB, lengths in tokens.
"""

from __future__ import annotations

from datetime import date
from functools import cached_property
from typing import Literal

from pydantic import Field

from services.scheduler.config_json import read_config_json
from services.scheduler.config_quantization import named_quantization
from services.scheduler.frozen import Facts as Facts
from services.scheduler.shapes import NoShapes, Shapes

KV_ELEMENT_BYTES = 2
"""A value in the cache is bfloat16 or float16, unless the model's flags ask for fp8."""


class ModelFacts(Facts):
    """A model: what it weighs, how it is built, and the settings with which vLLM serves it.

    `kv_upper_bound` says that some layers keep a window, a state or a compressed cache, so that a token costs less
    than `kv_bytes_per_token` in truth. `config` are the fields of the model's config.json that tell
    how it is built, where the plain sizes do not tell all. `flags` are further flags of vLLM without dashes; an empty
    value is a switch, and `flag_reasons` say what they are for. `on_load` is how the engine quantises the weights while
    it loads them. `revision` is the commit that the facts are of, where it is pinned.
    """

    id: str
    revision: str | None = None
    license: str
    weights_gib: float = Field(gt=0)
    disk_gib: int = Field(gt=0)
    context: int = Field(gt=0)
    architecture: str
    layers: int = Field(gt=0)
    heads: int = Field(gt=0)
    kv_heads: int = Field(gt=0)
    head_dim: int = Field(gt=0)
    hidden_size: int | None = None
    intermediate_size: int | None = None
    vocab_size: int | None = None
    kv_lora_rank: int | None = None
    qk_rope_head_dim: int | None = None
    indexer_bytes_per_layer: int = 0
    kv_upper_bound: bool = False
    quantization: str | None = None
    on_load: str | None = None
    load_format: Literal["auto", "mistral"] = "auto"
    tool_call_parser: str | None = None
    reasoning_parser: str | None = None
    config: dict[str, object] | None = None
    flags: dict[str, str] = Field(default_factory=dict)
    flag_reasons: dict[str, str] = Field(default_factory=dict, exclude=True)
    image: str | None = None
    """An image or artifact that holds the model's files, for those who keep them in a registry of their own."""
    gated: bool = False
    transformers: bool = False
    vllm_lacks: str | None = None
    """Why vLLM cannot serve it, as a sentence that says what to do instead."""
    own_code: str | None = None
    """Set where only the code that its repository brings can load it: what the user must know and set."""
    tunable: bool = False
    lora: bool = Field(default=True, exclude=True)
    """Whether vLLM takes LoRA adapters for it, as far as is known."""

    @property
    def name(self) -> str:
        """The short name under which the model is served: the last part of its id, in lower case."""
        return self.id.rsplit("/", maxsplit=1)[-1].lower()

    @cached_property
    def shapes(self) -> Shapes:
        """How it is built: from `config`, else from the plain sizes. Raises ValueError where they are no model's."""
        found = read_config_json(self.config or self._plain())
        if isinstance(found, NoShapes):
            raise ValueError(f"{self.id}: {found.reason}")  # noqa: TRY004 - the data is wrong, not its type
        unknown = self.config is None and (self.intermediate_size is None or self.kv_upper_bound)
        shapes = found.model_copy(update={"guessed": True}) if unknown else found
        return shapes.model_copy(update={"quantization": named_quantization(self.on_load)}) if self.on_load else shapes

    def _plain(self) -> dict[str, object]:
        """The plain sizes by the names that config.json has for them; a width that is not known is guessed large."""
        latent = {"kv_lora_rank": self.kv_lora_rank, "qk_rope_head_dim": self.qk_rope_head_dim}
        indexer = {"index_n_heads": 64, "index_head_dim": 128} if self.indexer_bytes_per_layer else {}
        return {
            "architectures": [self.architecture],
            "model_type": "",
            "num_hidden_layers": self.layers,
            "num_attention_heads": self.heads,
            "num_key_value_heads": self.kv_heads,
            "head_dim": self.head_dim,
            "hidden_size": self.hidden_size or self.heads * self.head_dim,
            "intermediate_size": self.intermediate_size,
            "vocab_size": self.vocab_size or 262_144,
            "max_position_embeddings": self.context,
            "tie_word_embeddings": False,
            **(latent if self.kv_lora_rank else {}),
            **indexer,
        }

    @property
    def attention(self) -> Literal["mha", "gqa", "mqa", "mla"]:
        """How heads share the cache: each its own, in groups, all one, or one latent vector (MLA)."""
        if self.kv_lora_rank is not None:
            return "mla"
        if self.kv_heads == self.heads:
            return "mha"
        return "mqa" if self.kv_heads == 1 else "gqa"

    @property
    def kv_bytes_per_token(self) -> int:
        """Bytes that one token takes in the cache of the whole model, on however many GPUs that is spread."""
        return self.layers * self.kv_bytes_per_layer

    @property
    def kv_bytes_per_layer(self) -> int:
        """Bytes that one token takes in the cache of one layer."""
        if self.kv_lora_rank is not None:
            latent = self.kv_lora_rank + (self.qk_rope_head_dim or 0)
            return latent * KV_ELEMENT_BYTES + self.indexer_bytes_per_layer
        element = 1 if self.flags.get("kv-cache-dtype", "").startswith("fp8") else KV_ELEMENT_BYTES
        return 2 * self.kv_heads * self.head_dim * element


class Gone(Facts):
    """A name that was served once; `message` tells what to use instead."""

    name: str
    message: str


class Unknown(Facts):
    """A name that the catalogue does not hold; `suggestions` are the names that look most like it, best first."""

    name: str
    suggestions: tuple[str, ...] = ()

    @property
    def message(self) -> str:
        """A sentence for the person who wrote the name."""
        return f"The catalogue has no model '{self.name}'.{self.hint}"

    @property
    def hint(self) -> str:
        """A question for the person who wrote the name; nothing where no name is near."""
        return f" Did you mean {' or '.join(self.suggestions)}?" if self.suggestions else ""


class Sku(Facts):
    """A machine of a cloud. `gpu_memory_gib` is one GPU's nominal memory, `gpu_usable_gib` what its driver reports.

    `memory_gib` and `vcpus` are the host's. A SKU that is not `runnable` says in `because` why.
    """

    name: str
    gpus: int = Field(gt=0)
    gpu_model: str
    gpu_memory_gib: float = Field(gt=0)
    gpu_usable_gib: float | None = None
    compute_capability: float | None = None
    vendor: Literal["nvidia", "amd", "aws"]
    vcpus: int | None = None
    memory_gib: int | None = None
    nvme: bool = False
    interconnect: Literal["nvlink", "pcie"] | None = None
    retired: date | None = None
    replacement: str | None = None
    warning: str | None = None
    runnable: bool = True
    because: str | None = None

    @property
    def warnings(self) -> tuple[str, ...]:
        """Sentences that whoever plans this machine must see: its age, and that the cloud has retired it."""
        instead = f"; use {self.replacement} instead" if self.replacement else ""
        gone = f"{self.name} was retired by its cloud on {self.retired}{instead}." if self.retired else None
        return tuple(sentence for sentence in (self.warning, gone) if sentence)

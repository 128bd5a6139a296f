"""Repositories for the hub: safetensors files whose tensors are zeros that nobody stores, and usual configs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from services.contracts.workspace import Schemaless

COMMIT = "0123456789abcdef0123456789abcdef01234567"

LLAMA: Schemaless = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": 2048,
    "intermediate_size": 8192,
    "num_hidden_layers": 16,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "head_dim": 64,
    "vocab_size": 128256,
    "max_position_embeddings": 131072,
    "tie_word_embeddings": True,
    "torch_dtype": "bfloat16",
}


@dataclass(frozen=True)
class Blob:
    """A file that begins with `head` and goes on with zeros up to `size` bytes."""

    head: bytes
    size: int

    def part(self, first: int, last: int) -> bytes:
        """The bytes from `first` to `last`, both inclusive, as far as there are any."""
        end = min(last + 1, self.size)
        return self.head[first:end] + bytes(max(0, end - max(first, len(self.head))))


@dataclass
class Repo:
    """A repository with its files at one commit. `tokens` are those that open it; without any, all do."""

    id: str
    files: dict[str, Blob]
    commit: str = COMMIT
    older: frozenset[str] = frozenset()
    """Commits before it, with the same files."""
    gated: str | bool = False
    private: bool = False
    tokens: frozenset[str] = frozenset()
    license: str = "apache-2.0"
    large: frozenset[str] = field(default_factory=frozenset)
    """Files that lie on the other host."""


def text(content: object) -> Blob:
    """A file of JSON; of text as it is."""
    data = (content if isinstance(content, str) else json.dumps(content)).encode()
    return Blob(data, len(data))


def safetensors(tensors: Mapping[str, tuple[str, int]], *, pad: int = 0) -> Blob:
    """A safetensors file with tensors of a type and so many bytes; `pad` spaces make its header longer."""
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    at = 0
    for name, (dtype, size) in tensors.items():
        header[name] = {"dtype": dtype, "shape": [size], "data_offsets": [at, at + size]}
        at += size
    data = json.dumps(header).encode() + b" " * pad
    head = len(data).to_bytes(8, "little") + data
    return Blob(head, len(head) + at)


def llama_tensors(layers: int = 16) -> dict[str, tuple[str, int]]:
    """The tensors of a Llama of 1.2 B parameters in bfloat16, 2,471,628,800 bytes with 16 layers."""
    hidden, wide, kv, vocab = 2048, 8192, 512, 128256
    shapes = {
        "self_attn.q_proj": hidden * hidden, "self_attn.k_proj": kv * hidden, "self_attn.v_proj": kv * hidden,
        "self_attn.o_proj": hidden * hidden, "mlp.gate_proj": wide * hidden, "mlp.up_proj": wide * hidden,
        "mlp.down_proj": wide * hidden, "input_layernorm": hidden, "post_attention_layernorm": hidden,
    }  # fmt: skip
    tensors = {"model.embed_tokens.weight": ("BF16", 2 * vocab * hidden), "model.norm.weight": ("BF16", 2 * hidden)}
    for layer in range(layers):
        tensors |= {f"model.layers.{layer}.{name}.weight": ("BF16", 2 * size) for name, size in shapes.items()}
    return tensors


LLAMA_BYTES = 2_471_628_800


def single(model: str = "acme/small-1b", **more: object) -> Repo:
    """A model in one file."""
    files = {"config.json": text(LLAMA), "model.safetensors": safetensors(llama_tensors()), "README.md": text("hi")}
    return Repo(model, files, large=frozenset({"model.safetensors"}), **more)  # type: ignore[arg-type]  # as they are


def sharded(model: str = "acme/sharded-1b", shards: int = 3, **more: object) -> Repo:
    """The same model in several files with an index, and beside it all that must not be counted."""
    tensors = llama_tensors()
    names = [f"model-{n + 1:05}-of-{shards:05}.safetensors" for n in range(shards)]
    places = {tensor: names[n % shards] for n, tensor in enumerate(tensors)}
    files = {name: safetensors({t: tensors[t] for t, at in places.items() if at == name}) for name in names}
    copy = safetensors(tensors)
    duplicates = {
        "consolidated.safetensors": copy,
        "original/model.safetensors": copy,
        "onnx/model.onnx": copy,
        "openvino/openvino_model.bin": copy,
        "pytorch_model.bin": copy,
        "model.fp16.safetensors": copy,
        "small-1b.Q4_K_M.gguf": copy,
    }
    index = {"metadata": {"total_size": 1}, "weight_map": places}
    files |= {"config.json": text(LLAMA), "model.safetensors.index.json": text(index), **duplicates}
    return Repo(model, files, large=frozenset(names), **more)  # type: ignore[arg-type]  # as they are

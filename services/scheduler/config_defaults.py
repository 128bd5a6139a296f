"""What the public classes of a model's type assume where its `config.json` is silent. Pure data.

Configurations within another (a picture model's language part) leave out whatever equals their class's default.
"""

from __future__ import annotations

from collections.abc import Mapping

_LLAMA: Mapping[str, object] = {
    "hidden_size": 4096,
    "intermediate_size": 11008,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "vocab_size": 32000,
    "max_position_embeddings": 2048,
}
_GEMMA3: Mapping[str, object] = {
    "hidden_size": 2304,
    "intermediate_size": 9216,
    "num_hidden_layers": 26,
    "num_attention_heads": 8,
    "num_key_value_heads": 4,
    "head_dim": 256,
    "vocab_size": 262208,
    "max_position_embeddings": 131072,
    "sliding_window": 4096,
}
_QWEN2: Mapping[str, object] = {
    "hidden_size": 4096,
    "intermediate_size": 22016,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "vocab_size": 151936,
    "max_position_embeddings": 32768,
}
_MISTRAL: Mapping[str, object] = {
    **_LLAMA,
    "intermediate_size": 14336,
    "num_key_value_heads": 8,
    "max_position_embeddings": 131072,
}
_QWEN3_5: Mapping[str, object] = {
    "head_dim": 256,
    "linear_conv_kernel_dim": 4,
    "linear_key_head_dim": 128,
    "linear_value_head_dim": 128,
    "linear_num_key_heads": 16,
    "linear_num_value_heads": 32,
}
DEFAULTS: Mapping[str, Mapping[str, object]] = {
    "llama": _LLAMA,
    "mistral": _MISTRAL,
    "mixtral": {**_MISTRAL, "num_local_experts": 8, "num_experts_per_tok": 2},
    "gemma": {"head_dim": 256},
    "gemma2": {"head_dim": 256, "num_key_value_heads": 4, "sliding_window": 4096},
    "gemma3_text": _GEMMA3,
    "gemma3": _GEMMA3,
    "qwen2": _QWEN2,
    "qwen2_vl_text": _QWEN2,
    "qwen2_5_vl_text": _QWEN2,
    "qwen3": {"head_dim": 128},
    "qwen3_moe": {"num_experts": 128, "num_experts_per_tok": 8, "moe_intermediate_size": 768},
    "qwen3_next": _QWEN3_5,
    "qwen3_5": _QWEN3_5,
    "qwen3_5_text": _QWEN3_5,
    "qwen3_5_moe": _QWEN3_5,
    "qwen3_5_moe_text": _QWEN3_5,
    "gpt_oss": {"head_dim": 64, "sliding_window": 128},
    "cohere2": {"sliding_window": 4096},
    "llama4_text": {"attention_chunk_size": 8192, "head_dim": 128},
    "minicpm3": {"v_head_dim": 64},
}

_ALWAYS_TOLD = frozenset(
    {
        "hidden_size",
        "intermediate_size",
        "num_hidden_layers",
        "num_attention_heads",
        "vocab_size",
        "max_position_embeddings",
    }
)
"""What a configuration that stands for itself always tells; where it is missing the file is broken."""


def defaults(model_type: str, *, nested: bool) -> Mapping[str, object]:
    """The defaults of a type: all for a part within another configuration, which leaves out whatever it can."""
    found = DEFAULTS.get(model_type, {})
    return found if nested else {name: value for name, value in found.items() if name not in _ALWAYS_TOLD}


TIED = (
    "gemma",
    "cohere",
    "gpt2",
    "gpt_bigcode",
    "opt",
    "bloom",
    "falcon",
    "starcoder2",
    "mpt",
    "smollm3",
    "lfm2",
    "mamba",
    "falcon_mamba",
    "minicpm",
    "ernie4_5",
    "paddleocr",
    "granite_swa",
    "vaultgemma",
    "zamba2",
)
"""Beginnings of the types whose embedding is the output too, unless the configuration says otherwise."""
UNTIED = ("falcon_h1", "mamba2")

PLAIN_MLP = (
    "gpt2",
    "gpt_neox",
    "gpt_neo",
    "gptj",
    "gpt_bigcode",
    "opt",
    "bloom",
    "falcon",
    "starcoder2",
    "mpt",
    "phi",
    "phi-msft",
    "persimmon",
    "nemotron",
    "nemotron_h",
    "arcee",
    "jais2",
    "apertus",
)
"""Types whose MLP has no gate: two matrices instead of three."""


def tied_by_default(model_type: str) -> bool:
    """Whether a model of that type ties its embedding when its configuration is silent."""
    return model_type.startswith(TIED) and not model_type.startswith(UNTIED)

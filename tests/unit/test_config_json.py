"""A config.json as people have them: names, defaults, layers of many kinds, and reasons for what cannot be read."""

from __future__ import annotations

import pytest

from services.scheduler.config_json import read_config_json
from services.scheduler.config_quantization import named_quantization
from services.scheduler.shapes import Feed, Mixer, NoShapes, Shapes

LLAMA: dict[str, object] = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "num_hidden_layers": 4,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "vocab_size": 128256,
    "max_position_embeddings": 8192,
}


def read(**changes: object) -> Shapes:
    found = read_config_json({name: value for name, value in {**LLAMA, **changes}.items() if value is not ...})
    assert isinstance(found, Shapes), found
    return found


def reason(config: object) -> str:
    found = read_config_json(config)
    assert isinstance(found, NoShapes), found
    return found.reason


def test_a_plain_configuration() -> None:
    shapes = read()
    assert (shapes.hidden, shapes.intermediate, shapes.layers, shapes.vocab) == (4096, 14336, 4, 128256)
    assert shapes.attention
    assert (shapes.attention.heads, shapes.attention.kv_heads, shapes.attention.head_dim) == (32, 8, 128)
    assert set(shapes.mixers) == {Mixer.FULL}
    assert not shapes.tied


def test_names_of_gpt_2() -> None:
    found = read_config_json(
        {"architectures": ["GPT2LMHeadModel"], "model_type": "gpt2", "n_embd": 768, "n_layer": 12, "n_head": 12,
         "n_positions": 1024, "vocab_size": 50257}
    )  # fmt: skip
    assert isinstance(found, Shapes)
    assert (found.hidden, found.intermediate, found.context, found.positions) == (768, 3072, 1024, 1024)
    assert found.tied
    assert not found.gated_mlp


def test_falcon_shares_one_key_among_all_heads_by_a_switch() -> None:
    falcon = read(model_type="falcon", multi_query=True, num_key_value_heads=...)
    assert falcon.attention
    assert falcon.attention.kv_heads == 1


@pytest.mark.parametrize(
    ("changes", "kinds"),
    [
        ({"layer_types": ["sliding_attention", "full_attention"] * 2, "sliding_window": 64}, "wfwf"),
        ({"model_type": "gemma2", "sliding_window": 64}, "wfwf"),
        ({"sliding_window_pattern": 3, "sliding_window": 64}, "wwfw"),
        ({"sliding_window_pattern": "LLG", "sliding_window": 64}, "wwfw"),
        ({"model_type": "mistral", "sliding_window": 64}, "wwww"),
        ({"sliding_window": 64, "use_sliding_window": False}, "ffff"),
        ({"layer_types": ["sliding_attention"] * 4, "sliding_window": None}, "ffff"),
        ({"layer_types": ["full_attention"] * 9}, "ffff"),
        ({"model_type": "llama4_text", "attention_chunk_size": 8192}, "cccf"),
    ],
)
def test_layers_with_windows(changes: dict[str, object], kinds: str) -> None:
    letters = {"w": Mixer.WINDOW, "f": Mixer.FULL, "c": Mixer.CHUNK}
    assert read(**changes).mixers == tuple(letters[letter] for letter in kinds)


MAMBA = {"mamba_n_heads": 8, "mamba_d_head": 64, "mamba_d_state": 128, "mamba_n_groups": 1, "mamba_d_conv": 4}
DELTA = {
    "linear_num_value_heads": 32,
    "linear_num_key_heads": 16,
    "linear_key_head_dim": 128,
    "linear_value_head_dim": 128,
    "linear_conv_kernel_dim": 4,
}


@pytest.mark.parametrize(
    ("changes", "kinds"),
    [
        ({"full_attention_interval": 4, **DELTA}, "sssf"),
        ({"layers_block_type": ["mamba", "attention"] * 2, **MAMBA}, "sfsf"),
        ({"attn_layer_period": 4, "attn_layer_offset": 2, "mamba_d_state": 16}, "ssfs"),
        ({"full_attn_idxs": [1], "conv_L_cache": 3}, "sfss"),
        ({"hybrid_override_pattern": "M-*E", **MAMBA, "num_experts": 8, "moe_intermediate_size": 64}, "s-f-"),
        ({"model_type": "falcon_h1", **MAMBA}, "bbbb"),
        ({"attn_type_list": [0, 0, 0, 1], "model_type": "minimax_text_01"}, "sssf"),
    ],
)
def test_layers_with_states(changes: dict[str, object], kinds: str) -> None:
    letters = {"s": Mixer.STATE, "f": Mixer.FULL, "-": Mixer.NONE, "b": Mixer.BOTH}
    shapes = read(**changes)
    assert shapes.mixers == tuple(letters[letter] for letter in kinds)
    assert shapes.state is not None


def test_the_first_layers_of_a_mixture_may_be_dense() -> None:
    shapes = read(n_routed_experts=64, num_experts_per_tok=6, n_shared_experts=2, moe_intermediate_size=1408,
                  first_k_dense_replace=1)  # fmt: skip
    assert shapes.feeds == (Feed.DENSE, Feed.EXPERTS, Feed.EXPERTS, Feed.EXPERTS)
    assert shapes.experts
    assert (shapes.experts.count, shapes.experts.chosen, shapes.experts.shared_width) == (64, 6, 2816)


def test_latent_attention() -> None:
    shapes = read(kv_lora_rank=512, qk_rope_head_dim=64, qk_nope_head_dim=128, v_head_dim=128, q_lora_rank=1536)
    assert shapes.latent
    assert (shapes.latent.width, shapes.latent.query_rank) == (576, 1536)


def test_the_language_part_of_a_model_that_sees() -> None:
    found = read_config_json(
        {"architectures": ["Gemma3ForConditionalGeneration"], "model_type": "gemma3",
         "text_config": {"model_type": "gemma3_text", "hidden_size": 2560, "intermediate_size": 10240,
                         "num_hidden_layers": 34, "sliding_window": 1024},
         "vision_config": {"hidden_size": 1152, "intermediate_size": 4304, "num_hidden_layers": 27}}
    )  # fmt: skip
    assert isinstance(found, Shapes)
    assert found.attention
    assert (found.attention.heads, found.attention.kv_heads, found.attention.head_dim) == (8, 4, 256)
    assert (found.vocab, found.context, found.tied) == (262208, 131072, True)
    assert found.tower
    assert found.tower.weight_elements == pytest.approx(4.1e8, rel=0.1)


@pytest.mark.parametrize(
    ("scaling", "context"),
    [
        ({"rope_type": "llama3", "factor": 8.0}, 8192),
        ({"type": "yarn", "factor": 4.0, "original_max_position_embeddings": 4096}, 8192),
        ({"rope_type": "linear", "factor": 2.0}, 16384),
        ({"rope_type": "longrope", "factor": 32.0}, 8192),
    ],
)
def test_rotary_scaling_stretches_the_context_as_the_engine_does_it(scaling: object, context: int) -> None:
    assert read(rope_scaling=scaling).context == context


@pytest.mark.parametrize(
    ("config", "bits"),
    [
        ({"quant_method": "fp8"}, 8),
        ({"quant_method": "awq", "bits": 4, "group_size": 128}, 4.156),
        ({"quant_method": "gptq", "bits": 4, "group_size": -1}, 4.005),
        ({"quant_method": "mxfp4"}, 4.25),
        ({"quant_method": "compressed-tensors", "config_groups": {"a": {"weights": {"num_bits": 4}}}}, 4),
        ({"quant_method": "modelopt", "quant_algo": "NVFP4"}, 4.5),
        ({"quant_method": "bitsandbytes", "load_in_8bit": True}, 8.1),
    ],
)
def test_bits_of_a_weight(config: object, bits: float) -> None:
    quantization = read(quantization_config=config).quantization
    assert quantization
    assert quantization.bits == pytest.approx(bits, abs=0.01)


def test_a_quantisation_that_is_not_known_counts_as_full_width() -> None:
    assert read(quantization_config={"quant_method": "tomorrow"}).quantization is None
    assert named_quantization("tomorrow") is None


@pytest.mark.parametrize(
    ("config", "said"),
    [
        (None, "config.json does not hold a map of settings."),
        ({}, "config.json names no architecture (architectures), so no engine can load the model."),
        ({**LLAMA, "hidden_size": None}, "config.json has no hidden_size (nor n_embd, d_model, dim); without it"),
        ({**LLAMA, "vocab_size": "many"}, "config.json has vocab_size = 'many', which is no whole number."),
        ({**LLAMA, "num_hidden_layers": 10**40}, "config.json has num_hidden_layers = a number of more than 30 digits"),
        ({**LLAMA, "num_hidden_layers": -3}, "config.json has num_hidden_layers = -3; it must be from 1 to 4096."),
        ({**LLAMA, "layer_types": ["quantum"] * 4}, "config.json has layers of type 'quantum', which this version"),
        ({**LLAMA, "layer_types": ["attention"] * 3}, "config.json has 4 layers, but names the types of 3."),
        ({**LLAMA, "is_encoder_decoder": True}, "LlamaForCausalLM is an encoder with a decoder, which this version"),
        ({**LLAMA, "architectures": ["../../etc"]}, "config.json names no architecture"),
    ],
)
def test_reasons(config: object, said: str) -> None:
    assert reason(config).startswith(said)

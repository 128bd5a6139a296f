"""Configurations as they are published: the weights of each model against its parameters, and what it keeps."""

from __future__ import annotations

import pytest

from services.scheduler.config_json import read_config_json
from services.scheduler.memory_cache import layout
from services.scheduler.memory_weights import stored_bytes
from services.scheduler.shapes import Mixer, NoShapes, Shapes
from services.scheduler.split import Split

PARTS = {"AutoConfig": "configuration_x.X"}
PUBLISHED: dict[str, tuple[float, dict[str, object]]] = {
    "mamba-2.8b": (2.768e9, {
        "architectures": ["MambaForCausalLM"], "model_type": "mamba", "hidden_size": 2560, "intermediate_size": 5120,
        "num_hidden_layers": 64, "state_size": 16, "conv_kernel": 4, "expand": 2, "time_step_rank": 160,
        "vocab_size": 50280}),
    "falcon-mamba-7b": (7.273e9, {
        "architectures": ["FalconMambaForCausalLM"], "model_type": "falcon_mamba", "hidden_size": 4096,
        "intermediate_size": 8192, "num_hidden_layers": 64, "state_size": 16, "conv_kernel": 4, "expand": 16,
        "time_step_rank": 256, "vocab_size": 65024, "tie_word_embeddings": False}),
    "mamba-codestral-7b": (7.285e9, {
        "architectures": ["Mamba2ForCausalLM"], "model_type": "mamba2", "hidden_size": 4096, "num_hidden_layers": 64,
        "head_dim": 64, "num_heads": 128, "n_groups": 8, "state_size": 128, "conv_kernel": 4, "expand": 2,
        "vocab_size": 32768}),
    "lfm2-1.2b": (1.170e9, {
        "architectures": ["Lfm2ForCausalLM"], "model_type": "lfm2", "block_auto_adjust_ff_dim": True,
        "block_dim": 2048, "block_ff_dim": 12288, "block_ffn_dim_multiplier": 1.0, "block_multiple_of": 256,
        "conv_L_cache": 3, "conv_dim": 2048, "hidden_size": 2048, "num_attention_heads": 32, "num_hidden_layers": 16,
        "num_key_value_heads": 8, "full_attn_idxs": [2, 5, 8, 10, 12, 14], "max_position_embeddings": 128000,
        "vocab_size": 65536}),
    "minicpm-2b": (2.725e9, {
        "architectures": ["MiniCPMForCausalLM"], "auto_map": PARTS, "model_type": "minicpm", "hidden_size": 2304,
        "intermediate_size": 5760, "num_hidden_layers": 40, "num_attention_heads": 36, "num_key_value_heads": 36,
        "vocab_size": 122753, "max_position_embeddings": 4096}),
    "minicpm3-4b": (4.074e9, {
        "architectures": ["MiniCPM3ForCausalLM"], "auto_map": PARTS, "model_type": "minicpm3", "hidden_size": 2560,
        "intermediate_size": 6400, "num_hidden_layers": 62, "num_attention_heads": 40, "num_key_value_heads": 40,
        "qk_nope_head_dim": 64, "qk_rope_head_dim": 32, "q_lora_rank": 768, "kv_lora_rank": 256,
        "vocab_size": 73448, "max_position_embeddings": 32768}),
    "ernie-4.5-0.3b": (0.3607e9, {
        "architectures": ["Ernie4_5ForCausalLM"], "model_type": "ernie4_5", "hidden_size": 1024, "head_dim": 128,
        "intermediate_size": 3072, "num_hidden_layers": 18, "num_attention_heads": 16, "num_key_value_heads": 2,
        "vocab_size": 103424, "max_position_embeddings": 131072}),
    "opt-125m": (0.1252e9, {
        "architectures": ["OPTForCausalLM"], "model_type": "opt", "hidden_size": 768, "ffn_dim": 3072,
        "num_hidden_layers": 12, "num_attention_heads": 12, "vocab_size": 50272, "max_position_embeddings": 2048}),
    "dbrx": (131.6e9, {
        "architectures": ["DbrxForCausalLM"], "model_type": "dbrx", "d_model": 6144, "n_heads": 48, "n_layers": 40,
        "max_seq_len": 32768, "vocab_size": 100352, "attn_config": {"clip_qkv": 8, "kv_n_heads": 8},
        "ffn_config": {"ffn_hidden_size": 10752, "moe_num_experts": 16, "moe_top_k": 4},
        "tie_word_embeddings": False}),
    "qwen2-vl-7b": (8.291e9, {
        "architectures": ["Qwen2VLForConditionalGeneration"], "model_type": "qwen2_vl", "hidden_size": 3584,
        "intermediate_size": 18944, "num_hidden_layers": 28, "num_attention_heads": 28, "num_key_value_heads": 4,
        "vocab_size": 152064, "max_position_embeddings": 32768, "tie_word_embeddings": False,
        "vision_config": {"depth": 32, "embed_dim": 1280, "mlp_ratio": 4, "num_heads": 16, "hidden_size": 3584,
                          "patch_size": 14, "spatial_merge_size": 2, "temporal_patch_size": 2}}),
}  # fmt: skip


def read(config: dict[str, object]) -> Shapes:
    found = read_config_json(config)
    assert isinstance(found, Shapes), found
    return found


@pytest.mark.parametrize("name", PUBLISHED)
def test_weights_are_those_of_the_published_parameters(name: str) -> None:
    parameters, config = PUBLISHED[name]
    assert stored_bytes(read(config)) == pytest.approx(2 * parameters, rel=0.01)


def token_bytes(config: dict[str, object]) -> int:
    return layout(read(config), Split(), "auto", 2048).bytes_per_token(2048)


def test_latent_vectors_that_the_engine_expands_are_cached_as_heads() -> None:
    # The engine has no MLA for MiniCPM 3: 62 layers of 40 heads with 96 elements of keys, and as many of values.
    assert token_bytes(PUBLISHED["minicpm3-4b"][1]) == 62 * 2 * 40 * 96 * 2


def test_heads_within_a_map_of_their_own() -> None:
    assert token_bytes(PUBLISHED["dbrx"][1]) == 40 * 2 * 8 * 128 * 2


def blocks(*named: tuple[bool, float | None]) -> dict[str, object]:
    """A model of Nemotron NAS: for each block whether it has attention, and the share of its MLP."""
    return {
        "architectures": ["DeciLMForCausalLM"], "model_type": "nemotron-nas", "hidden_size": 8192,
        "intermediate_size": None, "num_hidden_layers": len(named), "num_attention_heads": 64,
        "num_key_value_heads": None, "vocab_size": 128256, "max_position_embeddings": 131072,
        "tie_word_embeddings": False,
        "block_configs": [
            {"attention": {"n_heads_in_group": 8 if attends else None, "no_op": not attends},
             "ffn": {"ffn_mult": share, "no_op": share is None}}
            for attends, share in named
        ],
    }  # fmt: skip


def test_blocks_that_differ_are_sized_one_by_one() -> None:
    config = blocks((True, 5.25), (False, 2.625), (True, None), (True, 1.3125))
    attention = 2 * 8192 * (64 + 8) * 128
    mlp = 3 * 8192 * (28672 + 14336 + 7168)
    assert stored_bytes(read(config)) == pytest.approx(2 * (3 * attention + mlp + 2 * 128256 * 8192), rel=0.001)
    assert read(config).intermediate == 28672
    assert token_bytes(config) == 3 * 2 * 8 * 128 * 2


def test_no_block_with_attention_is_refused_in_words() -> None:
    found = read_config_json(blocks((False, 1.0)))
    assert isinstance(found, NoShapes)
    assert "no block with attention" in found.reason


def test_two_attentions_in_a_layer_are_refused_rather_than_halved() -> None:
    found = read_config_json({**PUBLISHED["minicpm3-4b"][1], "architectures": ["LongcatFlashForCausalLM"],
                              "model_type": "longcat_flash"})  # fmt: skip
    assert isinstance(found, NoShapes)
    assert "two attentions" in found.reason


def test_nemotron_h_by_a_list_is_as_by_letters() -> None:
    sizes: dict[str, object] = {
        "architectures": ["NemotronHForCausalLM"], "model_type": "nemotron_h", "head_dim": 128, "conv_kernel": 4,
        "hidden_size": 4096, "intermediate_size": 21504, "mamba_head_dim": 64, "mamba_num_heads": 128,
        "max_position_embeddings": 8192, "n_groups": 8, "num_attention_heads": 32, "num_key_value_heads": 8,
        "ssm_state_size": 128, "vocab_size": 131072, "tie_word_embeddings": False,
    }  # fmt: skip
    letters = read({**sizes, "num_hidden_layers": 4, "hybrid_override_pattern": "M-*-"})
    assert read({**sizes, "layers_block_type": ["mamba", "mlp", "attention", "mlp"]}) == letters
    assert letters.mixers == (Mixer.STATE, Mixer.NONE, Mixer.FULL, Mixer.NONE)


def test_the_length_of_yarn_is_the_one_that_is_named() -> None:
    # vLLM no longer stretches it by the factor, and would not start with a longer one.
    config = {**PUBLISHED["ernie-4.5-0.3b"][1], "max_position_embeddings": 32768,
              "rope_scaling": {"type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32768}}  # fmt: skip
    assert read(config).context == 32768

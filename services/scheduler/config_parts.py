"""The parts of a model that not every model has, from its `config.json`: experts, latent attention, states. Pure."""

from __future__ import annotations

from services.scheduler.config_fields import Fields
from services.scheduler.shapes import Experts, Latent, State, Tower

WIDTH = 1 << 24
"""No width of a model is larger."""
MANY = 1 << 16
"""No model has more heads or experts."""
_EXPANDED = ("minicpm3",)
"""Types with latent vectors for which the engine has no MLA: it keeps the keys and values of all heads."""


def experts(fields: Fields, intermediate: int, text_type: str) -> Experts | None:
    """The mixture of experts, or None. Raises BadField."""
    count = fields.largest("num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts") or 0
    if count < 2:
        return None
    width = fields.largest("moe_intermediate_size", "expert_ffn_hidden_size", "ffn_hidden_size") or intermediate
    return Experts(
        count=min(count, MANY),
        chosen=min(_chosen(fields), count),
        width=max(1, min(width, WIDTH)),
        shared_width=min(_shared(fields, width, intermediate, text_type), WIDTH),
        latent_width=fields.whole("moe_latent_size", most=WIDTH),
    )


def _chosen(fields: Fields) -> int:
    names = ("num_experts_per_tok", "num_experts_per_token", "moe_topk", "moe_top_k", "moe_k", "top_k_experts")
    return max(1, fields.largest(*names) or 2)


def _shared(fields: Fields, width: int, intermediate: int, text_type: str) -> int:
    """All shared experts in one width, in the ways in which models write it."""
    explicit = fields.largest(
        "shared_expert_intermediate_size", "moe_shared_expert_intermediate_size", "shared_intermediate_size"
    )
    if explicit is not None:
        return explicit
    shared = fields.largest("n_shared_experts", "num_shared_experts", "moe_num_shared_experts", "num_shared_expert")
    if shared:
        return shared * width
    return intermediate if text_type.startswith("llama4") else 0


def latent(fields: Fields, model_type: str) -> Latent | None:
    """The sizes of MLA, or None where there is none of it. Raises BadField."""
    rank = fields.whole("kv_lora_rank", least=0, most=WIDTH)
    if not rank:
        return None
    return Latent(
        kv_rank=rank,
        rope_dim=fields.needed("qk_rope_head_dim", most=MANY),
        nope_dim=fields.whole("qk_nope_head_dim", most=MANY) or 128,
        value_dim=fields.whole("v_head_dim", most=MANY) or 128,
        query_rank=fields.whole("q_lora_rank", least=0, most=WIDTH) or None,
        indexer_heads=fields.count("index_n_heads", most=MANY),
        indexer_dim=fields.count("index_head_dim", most=MANY),
        expanded=model_type in _EXPANDED,
    )


def state(fields: Fields, model_type: str, hidden: int) -> State:
    """The state of the layers that keep one. Raises BadField where its sizes are not known."""
    if fields.whole("linear_num_value_heads"):
        return _delta_net(fields, hidden)
    if (linear := fields.sub("linear_attn_config")) is not None:
        return _kimi(linear, hidden)
    if fields.whole("conv_L_cache"):
        return _short_convolution(fields, hidden)
    if model_type.startswith("minimax"):
        return _lightning(fields, hidden)
    if fields.raw("mamba_n_heads", "mamba_num_heads", "n_mamba_heads") is not None or model_type == "mamba2":
        return _mamba2(fields, model_type, hidden)
    return _mamba1(fields, model_type, hidden)


def _matrix_bytes(fields: Fields, model_type_default: int = 2) -> int:
    """Bytes of a state's element: some models ask for float32 by one of these names."""
    named = fields.text("mamba_ssm_dtype", "mamba_ssm_cache_dtype")
    return {"float32": 4, "float16": 2, "bfloat16": 2}.get(named, model_type_default)


def _delta_net(fields: Fields, hidden: int) -> State:
    """Gated delta net (Qwen3-Next, Qwen3.5)."""
    value_heads = fields.needed("linear_num_value_heads", most=MANY)
    value_dim = fields.needed("linear_value_head_dim", most=MANY)
    key_dim = fields.needed("linear_key_head_dim", most=MANY)
    keys = fields.needed("linear_num_key_heads", most=MANY) * key_dim
    values = value_heads * value_dim
    kernel = fields.whole("linear_conv_kernel_dim", most=MANY) or 4
    width = 2 * keys + 2 * values + 2 * value_heads
    return State(
        conv_width=2 * keys + values,
        conv_length=kernel - 1,
        heads=value_heads,
        head_elements=value_dim * key_dim,
        matrix_bytes=_matrix_bytes(fields),
        in_width=width,
        out_width=values,
        weight_elements=hidden * (width + values) + (2 * keys + values) * kernel,
    )


def _kimi(linear: Fields, hidden: int) -> State:
    """Kimi delta attention: its matrices are float32 always."""
    heads, dim = linear.needed("num_heads", most=MANY), linear.needed("head_dim", most=MANY)
    kernel = linear.whole("short_conv_kernel_size", most=MANY) or 4
    width = heads * dim
    return State(
        conv_width=3 * width,
        conv_length=kernel - 1,
        heads=heads,
        head_elements=dim * dim,
        matrix_bytes=4,
        in_width=5 * width,
        out_width=width,
        weight_elements=hidden * (4 * width + 2 * dim + heads) + 2 * dim * width + 3 * width * kernel,
    )


def _short_convolution(fields: Fields, hidden: int) -> State:
    """LFM 2: a gated convolution over a few tokens, with no matrix."""
    width = fields.whole("conv_dim", most=WIDTH) or hidden
    kernel = fields.needed("conv_L_cache", most=MANY)
    return State(
        conv_width=width,
        conv_length=kernel - 1,
        heads=0,
        head_elements=0,
        in_width=3 * width,
        out_width=width,
        weight_elements=hidden * 4 * width + width * kernel,
    )


def _lightning(fields: Fields, hidden: int) -> State:
    """MiniMax 01: linear attention without a convolution."""
    heads = fields.needed("num_attention_heads", most=MANY)
    dim = fields.whole("head_dim", most=MANY) or hidden // heads
    return State(
        conv_width=0,
        conv_length=0,
        heads=heads,
        head_elements=dim * dim,
        matrix_bytes=4,
        in_width=4 * heads * dim,
        out_width=heads * dim,
        weight_elements=hidden * 5 * heads * dim,
    )


def _mamba2(fields: Fields, model_type: str, hidden: int) -> State:
    heads = fields.needed("mamba_n_heads", "mamba_num_heads", "n_mamba_heads", "num_heads", most=MANY)
    dim = fields.needed("mamba_d_head", "mamba_head_dim", "mamba_headdim", "head_dim", most=MANY)
    size = fields.needed("mamba_d_state", "ssm_state_size", "state_size", most=MANY)
    groups = fields.whole("mamba_n_groups", "mamba_ngroups", "n_groups", most=MANY) or 1
    kernel = fields.whole("mamba_d_conv", "conv_kernel", most=MANY) or 4
    inner = heads * dim
    convolved = inner + 2 * groups * size
    return State(
        conv_width=convolved,
        conv_length=kernel - 1,
        heads=heads,
        head_elements=dim * size,
        matrix_bytes=_matrix_bytes(fields, 4 if model_type.startswith("nemotron_h") else 2),
        in_width=inner + convolved + heads,
        out_width=inner,
        weight_elements=hidden * (2 * inner + convolved - inner + inner + heads) + convolved * kernel,
    )


def _mamba1(fields: Fields, model_type: str, hidden: int) -> State:
    expand = fields.whole("mamba_expand", "expand", most=64) or 2
    # Those of such layers only have their width as that of an MLP, and Falcon Mamba another expansion than it.
    inner = (fields.whole("intermediate_size", most=WIDTH) if model_type in ("mamba", "falcon_mamba") else None) or (
        expand * hidden
    )
    size = fields.needed("mamba_d_state", "state_size", most=MANY)
    kernel = fields.whole("mamba_d_conv", "conv_kernel", most=MANY) or 4
    rank = fields.whole("mamba_dt_rank", "time_step_rank", most=WIDTH) if _is_number(fields) else None
    rank = rank or -(-hidden // 16)
    return State(
        conv_width=inner,
        conv_length=kernel - 1,
        heads=inner,
        head_elements=size,
        matrix_bytes=_matrix_bytes(fields),
        in_width=2 * inner,
        out_width=inner,
        weight_elements=inner * (3 * hidden + 2 * rank + 3 * size + kernel),
    )


def _is_number(fields: Fields) -> bool:
    """The rank of the time step may be the text "auto"."""
    return isinstance(fields.raw("mamba_dt_rank", "time_step_rank"), int)


def tower(fields: Fields, text_hidden: int) -> Tower | None:
    """The encoder of pictures, roughly: blocks of attention and MLP, and a projection into the model."""
    vision = fields.sub("vision_config", "vision_tower_config", "vit_config")
    if vision is None:
        return None
    hidden = vision.largest("embed_dim", "hidden_size", "width") or 1024
    depth = vision.largest("depth", "num_hidden_layers", "layers") or 24
    ratio = vision.share("mlp_ratio") or 4.0
    intermediate = vision.largest("intermediate_size", "mlp_dim") or int(hidden * ratio)
    if hidden > WIDTH or depth > MANY or intermediate > WIDTH:
        return None
    gated = 3 if vision.text("hidden_act") in ("silu", "swiglu") else 2
    elements = depth * hidden * (4 * hidden + gated * intermediate) + 1200 * hidden
    merge = (vision.whole("spatial_merge_size", most=64) or 1) ** 2 * hidden
    return Tower(
        weight_elements=elements + merge * merge + merge * text_hidden, hidden=hidden, intermediate=intermediate
    )

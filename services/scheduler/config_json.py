"""A model's shapes from its `config.json`, or a sentence that says why not. Pure.

Names and defaults are those of the public configurations and of the classes that read them. Whatever the map holds,
the answer is a value: shapes that can be reckoned with, or a reason for the person whose model it is.
"""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import ValidationError

from services.scheduler.config_blocks import made_plain
from services.scheduler.config_defaults import PLAIN_MLP, defaults, tied_by_default
from services.scheduler.config_fields import BadField, Fields, checked, strings
from services.scheduler.config_layers import feeds, mixers
from services.scheduler.config_parts import MANY, WIDTH, experts, latent, state, tower
from services.scheduler.config_quantization import quantization
from services.scheduler.shapes import Attention, Experts, Mixer, NoShapes, Shapes, State

MOST_LAYERS = 4096
UNKNOWN_CONTEXT = 2048
"""The context of a model that does not tell, as the engine assumes it."""
_TEXT = ("text_config", "llm_config", "language_config", "thinker_config", "text_model_config", "language_model_config")
_CONTEXT = (
    "max_position_embeddings",
    "n_positions",
    "max_seq_len",
    "seq_length",
    "max_sequence_length",
    "max_seq_length",
    "n_ctx",
    "seq_len",
)
_DOUBLED = ("longcat_flash",)
_STRETCHED_ALREADY = ("", "default", "su", "longrope", "llama3", "mrope", "yarn", "deepseek_yarn")
"""Kinds of rotary scaling whose length in the configuration counts as stretched already."""


def read_config_json(config: object) -> Shapes | NoShapes:
    """The shapes of a model; `config` is the parsed file."""
    if not isinstance(config, dict):
        return NoShapes(reason="config.json does not hold a map of settings.")
    try:
        return _shapes(strings(config))
    except BadField as error:
        return NoShapes(reason=str(error))
    except ValidationError as error:
        where = ".".join(str(part) for part in error.errors()[0]["loc"])
        return NoShapes(reason=f"config.json has sizes that do not go together ({where}: {error.errors()[0]['msg']}).")


def _shapes(config: Mapping[str, object]) -> Shapes:
    outer = Fields(config)
    text = _text_part(config)
    text_type = _kind(text.get("model_type")) or _kind(config.get("model_type"))
    fields = Fields(made_plain(text, text_type), defaults(text_type, nested=text != config))
    architecture = _architecture(outer)
    if outer.flag("is_encoder_decoder"):
        raise BadField(f"{architecture} is an encoder with a decoder, which this version cannot size.")
    if text_type.startswith(_DOUBLED):
        raise BadField(f"{architecture} has two attentions in each layer, which this version cannot size.")
    return _assembled(outer, fields, text_type, architecture)


def _kind(value: object) -> str:
    return value if isinstance(value, str) else ""


def _architecture(outer: Fields) -> str:
    named = outer.items("architectures") or []
    if not named or not isinstance(named[0], str) or not named[0].isidentifier():
        raise BadField("config.json names no architecture (architectures), so no engine can load the model.")
    return named[0][:100]


def _text_part(config: Mapping[str, object], depth: int = 3) -> dict[str, object]:
    """The language part of a model that also sees or hears; what it lacks is taken from around it."""
    for name in _TEXT:
        inner = config.get(name)
        if depth and isinstance(inner, dict) and inner:
            around = {key: value for key, value in config.items() if key not in _TEXT and key != "model_type"}
            return {**around, **_text_part(strings(inner), depth - 1)}
    return dict(config)


def _assembled(outer: Fields, fields: Fields, text_type: str, architecture: str) -> Shapes:
    hidden = fields.needed("hidden_size", "n_embd", "d_model", "dim", most=WIDTH)
    layers = _layers(fields)
    intermediate = _intermediate(fields, hidden)
    mixture = experts(fields, intermediate, text_type)
    kinds = mixers(fields, text_type, layers)
    window = fields.whole("sliding_window", "window_size", least=0)
    return Shapes(
        architecture=architecture,
        model_type=text_type[:60],
        context=_context(fields, text_type),
        hidden=hidden,
        widths=_widths(fields, layers),
        intermediate=min(_dense_width(fields, intermediate, mixture, text_type), WIDTH),
        vocab=fields.needed("vocab_size", "padded_vocab_size", "n_vocab", most=WIDTH),
        tied=fields.flag("tie_word_embeddings", "tie_embeddings", default=tied_by_default(text_type)),
        gated_mlp=text_type not in PLAIN_MLP,
        positions=_positions(fields, text_type),
        mixers=tuple(_without_window(kinds) if not window and Mixer.WINDOW in kinds else kinds),
        feeds=feeds(fields, text_type, kinds, mixture is not None),
        attention=_attention(fields, text_type, hidden) if any(k is not Mixer.STATE for k in kinds) else None,
        wide=_wide(fields, text_type, hidden),
        latent=latent(fields, text_type),
        experts=mixture,
        state=_state(fields, text_type, hidden, kinds),
        window=window or None,
        chunk=fields.whole("attention_chunk_size"),
        kv_shared_layers=min(fields.count("num_kv_shared_layers"), layers - 1),
        per_layer_embedding=fields.count("hidden_size_per_layer_input", most=WIDTH),
        quantization=quantization(fields) or quantization(outer),
        tower=tower(outer, hidden),
    )


def _layers(fields: Fields) -> int:
    """Layers; the newer configurations of Nemotron H list their kinds instead of counting them."""
    names = ("num_hidden_layers", "n_layer", "num_layers", "n_layers")
    listed = fields.items("layers_block_type") or []
    if listed and fields.raw(*names) is None and len(listed) <= MOST_LAYERS:
        return len(listed)
    return fields.needed(*names, most=MOST_LAYERS)


def _without_window(kinds: tuple[Mixer, ...]) -> tuple[Mixer, ...]:
    return tuple(Mixer.FULL if kind is Mixer.WINDOW else kind for kind in kinds)


def _intermediate(fields: Fields, hidden: int) -> int:
    """The MLP's width. Where it is not told it is four times the model's, as in GPT-2."""
    names = ("intermediate_size", "n_inner", "ffn_dim", "inner_hidden_size", "ffn_hidden_size", "mlp_hidden_size")
    found = fields.largest(*names)
    if found is None and fields.raw("block_multiple_of") is not None:
        found = fields.largest("block_ff_dim")
    return 4 * hidden if found is None else _adjusted(fields, found)


def _widths(fields: Fields, layers: int) -> tuple[int, ...]:
    """The MLP's width in each layer, where they differ."""
    listed = fields.items("intermediate_size") or []
    widths = tuple(checked("intermediate_size", item, 0, WIDTH) for item in listed[:layers])
    return widths if len(widths) == layers and len(set(widths)) > 1 else ()


def _adjusted(fields: Fields, width: int) -> int:
    """LFM 2 makes two thirds of the width it names, and rounds them up."""
    if not fields.flag("block_auto_adjust_ff_dim"):
        return width
    step = fields.whole("block_multiple_of", most=WIDTH) or 256
    width = int((fields.share("block_ffn_dim_multiplier") or 1.0) * (2 * width // 3))
    return -(-width // step) * step


def _positions(fields: Fields, text_type: str) -> int:
    """Rows of a learned table of positions; OPT has two more than it has positions."""
    if text_type == "opt":
        return fields.count("max_position_embeddings") + 2
    return fields.count("n_positions") if text_type in ("gpt2", "gpt_bigcode") else 0


def _dense_width(fields: Fields, intermediate: int, mixture: Experts | None, text_type: str) -> int:
    """Llama 4 has another width in the layers without experts."""
    other = fields.largest("intermediate_size_mlp") if mixture and text_type.startswith("llama4") else None
    return other or intermediate


def _attention(fields: Fields, text_type: str, hidden: int) -> Attention:
    heads = fields.needed("num_attention_heads", "n_head", "n_heads", "num_heads", most=MANY)
    head_dim = fields.whole("head_dim", "hidden_size_per_head", "kv_channels", "attention_head_dim", least=0, most=MANY)
    head_dim = head_dim or _whole_head(fields) or max(1, hidden // heads)
    return Attention(
        heads=heads,
        kv_heads=min(_kv_heads(fields, heads), MANY),
        head_dim=head_dim,
        value_dim=head_dim,
        gated=fields.flag("attn_output_gate", default=text_type.startswith(("qwen3_next", "qwen3_5"))),
    )


def _whole_head(fields: Fields) -> int:
    """A head of latent attention has a part with positions and one without."""
    parts = fields.count("qk_nope_head_dim", most=MANY), fields.count("qk_rope_head_dim", most=MANY)
    return sum(parts) if all(parts) else 0


def _kv_heads(fields: Fields, heads: int) -> int:
    """Heads of keys and values. Falcon and GPT BigCode share one among all by a switch."""
    if fields.flag("multi_query") and not fields.flag("new_decoder_architecture"):
        return 1
    names = ("num_key_value_heads", "num_kv_heads", "n_head_kv", "multi_query_group_num", "num_attention_groups")
    return fields.largest(*names) or heads


def _wide(fields: Fields, text_type: str, hidden: int) -> Attention | None:
    """Gemma 4's layers with full attention have wider and fewer heads."""
    dim = fields.whole("global_head_dim", most=MANY)
    if dim is None:
        return None
    narrow = _attention(fields, text_type, hidden)
    return Attention(
        heads=narrow.heads,
        kv_heads=fields.whole("num_global_key_value_heads", most=MANY) or narrow.kv_heads,
        head_dim=dim,
        value_dim=dim,
        shared_key=fields.flag("attention_k_eq_v"),
    )


def _state(fields: Fields, text_type: str, hidden: int, kinds: tuple[Mixer, ...]) -> State | None:
    return state(fields, text_type, hidden) if Mixer.STATE in kinds or Mixer.BOTH in kinds else None


def _context(fields: Fields, text_type: str) -> int:
    """Tokens the model reads, stretched by its rotary scaling as the engine does it."""
    found = [length for name in _CONTEXT if (length := fields.whole(name))]
    longest = fields.whole("model_max_length") or min(found, default=UNKNOWN_CONTEXT)
    rope = fields.sub("rope_scaling", "rope_parameters")
    kind = rope.text("rope_type", "type") if rope else ""
    if rope is None or "gemma3" in text_type or kind in _STRETCHED_ALREADY:
        return longest
    return max(1, min(int(longest * (rope.share("factor") or 1.0)), 1 << 31))

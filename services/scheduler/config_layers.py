"""Which kind each layer of a model is, from its `config.json`. Pure."""

from __future__ import annotations

from services.scheduler.config_fields import BadField, Fields, shown
from services.scheduler.shapes import Feed, Mixer

_MIXERS = {
    "full_attention": Mixer.FULL,
    "attention": Mixer.FULL,
    "indexed_attention": Mixer.FULL,
    "global": Mixer.FULL,
    "global_attention": Mixer.FULL,
    "sliding_attention": Mixer.WINDOW,
    "local": Mixer.WINDOW,
    "local_attention": Mixer.WINDOW,
    "sliding_window": Mixer.WINDOW,
    "chunked_attention": Mixer.CHUNK,
    "linear_attention": Mixer.STATE,
    "lightning_attention": Mixer.STATE,
    "mamba": Mixer.STATE,
    "mamba2": Mixer.STATE,
    "recurrent": Mixer.STATE,
    "conv": Mixer.STATE,
    "hybrid": Mixer.BOTH,
    "moe": Mixer.NONE,
    "mlp": Mixer.NONE,
}
_PATTERN = {"M": Mixer.STATE, "*": Mixer.FULL, "-": Mixer.NONE, "E": Mixer.NONE}
_ONLY_STATE = ("mamba", "mamba2", "falcon_mamba")
_BARE_STATE = (*_ONLY_STATE, "zamba2")
"""Types whose layers with a state have no MLP beside it."""


def mixers(fields: Fields, model_type: str, layers: int) -> tuple[Mixer, ...]:
    """One kind a layer. Raises BadField for kinds that are not known, and for lists that are too short."""
    named = fields.items("layer_types", "layers_block_type", "block_types")
    if named is not None:
        return _named(named, layers)
    if pattern := _pattern(fields):
        return _listed(tuple(_PATTERN[letter] for letter in pattern), layers)
    if model_type in _ONLY_STATE:
        return (Mixer.STATE,) * layers
    if model_type == "falcon_h1":
        return (Mixer.BOTH,) * layers
    return tuple(_by_rule(fields, model_type, layers))


def _pattern(fields: Fields) -> str:
    """Nemotron H writes its layers as letters; whatever else is called so is not ours."""
    pattern = fields.text("hybrid_override_pattern").replace("|", "")
    return pattern if set(pattern) <= _PATTERN.keys() else ""


def _named(named: list[object], layers: int) -> tuple[Mixer, ...]:
    unknown = [name for name in named if not isinstance(name, str) or name not in _MIXERS]
    if unknown:
        raise BadField(f"config.json has layers of type {shown(unknown[0])}, which this version cannot size.")
    return _listed(tuple(_MIXERS[name] for name in named if isinstance(name, str)), layers)


def _listed(kinds: tuple[Mixer, ...], layers: int) -> tuple[Mixer, ...]:
    """Lists may be longer than the model (those of layers that predict ahead), or a pattern that repeats."""
    if not kinds:
        raise BadField("config.json has an empty list of layer types.")
    if len(kinds) >= layers:
        return kinds[:layers]
    if layers % len(kinds):
        raise BadField(f"config.json has {layers} layers, but names the types of {len(kinds)}.")
    return kinds * (layers // len(kinds))


def _by_rule(fields: Fields, model_type: str, layers: int) -> list[Mixer]:
    """The rules by which the public classes deal out kinds where no list is given."""
    if chosen := _full_indices(fields):
        return [Mixer.FULL if index in chosen else Mixer.STATE for index in range(layers)]
    if interval := fields.whole("full_attention_interval"):
        return [Mixer.STATE if (index + 1) % interval else Mixer.FULL for index in range(layers)]
    if period := fields.whole("attn_layer_period"):
        offset = fields.count("attn_layer_offset")
        return [Mixer.FULL if index % period == offset else Mixer.STATE for index in range(layers)]
    if model_type.startswith("llama4") and fields.whole("attention_chunk_size"):
        return [Mixer.CHUNK if (index + 1) % 4 else Mixer.FULL for index in range(layers)]
    if fields.whole("sliding_window", least=0) and fields.flag("use_sliding_window", default=True):
        return _windows(fields, model_type, layers)
    return [Mixer.FULL] * layers


def _full_indices(fields: Fields) -> set[object]:
    """Layers with attention by their numbers: LFM 2 counts from 0, Kimi Linear from 1, MiniMax marks them with 1."""
    if (found := fields.items("full_attn_idxs", "attn_layer_indices")) is not None:
        return {index for index in found if isinstance(index, int)}
    if (linear := fields.sub("linear_attn_config")) and (found := linear.items("full_attn_layers")) is not None:
        return {index - 1 for index in found if isinstance(index, int)}
    if (found := fields.items("attn_type_list")) is not None:
        return {index for index, kind in enumerate(found) if kind == 1}
    return set()


def _windows(fields: Fields, model_type: str, layers: int) -> list[Mixer]:
    pattern = fields.raw("sliding_window_pattern", "_sliding_window_pattern")
    if isinstance(pattern, str) and pattern and set(pattern) <= {"L", "G"}:
        return [Mixer.WINDOW if pattern[index % len(pattern)] == "L" else Mixer.FULL for index in range(layers)]
    every = pattern if isinstance(pattern, int) and not isinstance(pattern, bool) and pattern > 0 else None
    every = every or _EVERY.get(model_type)
    if every:
        return [Mixer.WINDOW if (index + 1) % every else Mixer.FULL for index in range(layers)]
    if fields.raw("use_sliding_window") is True and (full := fields.whole("max_window_layers", least=0)) is not None:
        return [Mixer.FULL if index < full else Mixer.WINDOW for index in range(layers)]
    return [Mixer.WINDOW] * layers


_EVERY = {
    "gemma2": 2,
    "gpt_oss": 2,
    "gemma3": 6,
    "gemma3_text": 6,
    "gemma3n_text": 5,
    "gemma4_text": 6,
    "cohere2": 4,
    "exaone4": 4,
    "olmo3": 4,
}
"""Every so many layers one has full attention, where the configuration does not say."""


def feeds(fields: Fields, model_type: str, kinds: tuple[Mixer, ...], mixture: bool) -> tuple[Feed, ...]:
    """What each layer has beside its mixer."""
    layers = len(kinds)
    if pattern := _pattern(fields):
        by_letter = {"-": Feed.DENSE, "E": Feed.EXPERTS}
        return _repeated(tuple(by_letter.get(letter, Feed.NONE) for letter in pattern), layers)
    if model_type.startswith("nemotron_h") and (named := fields.items("layers_block_type")):
        by_name = {"mlp": Feed.DENSE, "moe": Feed.EXPERTS}
        return _repeated(tuple(by_name.get(str(name), Feed.NONE) for name in named), layers)
    if model_type in _BARE_STATE:
        return tuple(Feed.NONE if kind is Mixer.STATE else Feed.DENSE for kind in kinds)
    if not mixture:
        return (Feed.DENSE,) * layers
    return tuple(Feed.EXPERTS if sparse else Feed.DENSE for sparse in _sparse(fields, layers))


def _repeated(pattern: tuple[Feed, ...], layers: int) -> tuple[Feed, ...]:
    return (pattern * (layers // len(pattern) + 1))[:layers]


def _sparse(fields: Fields, layers: int) -> list[bool]:
    if (named := fields.items("mlp_layer_types")) is not None and len(named) >= layers:
        return [name == "sparse" for name in named[:layers]]
    first = fields.count("first_k_dense_replace", "num_dense_layers", "moe_layer_start_index")
    if (chosen := fields.items("moe_layers")) is not None:
        return [index in chosen for index in range(layers)]
    if period := fields.whole("expert_layer_period"):
        offset = fields.count("expert_layer_offset")
        return [index % period == offset for index in range(layers)]
    step = _step(fields)
    dense = set(map(str, fields.items("mlp_only_layers") or ()))
    return [index >= first and (index + 1) % step == 0 and str(index) not in dense for index in range(layers)]


def _step(fields: Fields) -> int:
    """Every so many layers has experts. DeepSeek's frequency may be a list, which is not a step."""
    frequency = fields.raw("decoder_sparse_step", "interleave_moe_layer_step", "moe_layer_interval", "moe_layer_freq")
    return frequency if isinstance(frequency, int) and not isinstance(frequency, bool) and frequency > 0 else 1

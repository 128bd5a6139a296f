"""Configurations that tell sizes in maps of their own (DBRX) or by blocks (Nemotron NAS), made plain. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from services.scheduler.config_fields import BadField, Fields, strings

MULTIPLE = 256
"""Nemotron NAS rounds the widths of its MLPs up to this."""


def made_plain(text: Mapping[str, object], model_type: str) -> Mapping[str, object]:
    """The fields with their sizes under the usual names. Raises BadField."""
    if model_type == "dbrx":
        return _dbrx(text)
    blocks = text.get("block_configs")
    if isinstance(blocks, list) and blocks and all(isinstance(b, dict) and "ffn" in b for b in blocks):
        return _blocks(text, [strings(block) for block in blocks if isinstance(block, dict)])
    return text


def _dbrx(text: Mapping[str, object]) -> Mapping[str, object]:
    attention, feed = text.get("attn_config"), text.get("ffn_config")
    heads = strings(attention).get("kv_n_heads") if isinstance(attention, dict) else None
    inner = strings(feed) if isinstance(feed, dict) else {}
    names = {"ffn_hidden_size": "intermediate_size", "moe_num_experts": "num_experts", "moe_top_k": "moe_top_k"}
    return {**text, "num_key_value_heads": heads, **{plain: inner.get(name) for name, plain in names.items()}}


def _blocks(text: Mapping[str, object], blocks: list[dict[str, object]]) -> Mapping[str, object]:
    """Blocks may lack their attention, and differ in the width of their MLP; the cache goes by the most heads."""
    fields = Fields(text)
    heads = fields.needed("num_attention_heads")
    hidden = fields.needed("hidden_size")
    groups = [_group(Fields(block)) for block in blocks]
    shared = [group for group in groups if group]
    if not shared:
        raise BadField("config.json has no block with attention (block_configs); such a model cannot be sized.")
    return {
        **text,
        "num_key_value_heads": max(1, heads // min(shared)),
        "layer_types": ["full_attention" if group else "mlp" for group in groups],
        "intermediate_size": [_width(Fields(block), hidden) for block in blocks],
    }


def _group(block: Fields) -> int | None:
    """Query heads that share one of keys and values; None where the block has no attention."""
    attention = block.sub("attention")
    return None if attention is None or attention.flag("no_op") else attention.whole("n_heads_in_group")


def _width(block: Fields, hidden: int) -> int:
    feed = block.sub("ffn")
    if feed is None or feed.flag("no_op"):
        return 0
    share = feed.share("ffn_mult")
    if share is None:
        return feed.count("intermediate_size", most=1 << 24)
    return -(-int(2 * share * hidden / 3) // MULTIPLE) * MULTIPLE

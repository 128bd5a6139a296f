"""How many bits a model's weights have, from the `quantization_config` of its `config.json`. Pure."""

from __future__ import annotations

from services.scheduler.config_fields import Fields, strings
from services.scheduler.shapes import Quantization

SCALE_BITS = 16
"""Each group of weights has a scale of this many bits."""
_PLAIN = {
    "fp8": 8.0,
    "fbgemm_fp8": 8.0,
    "modelopt": 8.0,
    "modelopt_mixed": 8.0,
    "ptpc_fp8": 8.0,
    "experts_int8": 8.0,
    "mxfp4": 4.25,
    "modelopt_fp4": 4.5,
    "nvfp4": 4.5,
    "mxfp8": 8.25,
}
"""Bits a weight with its share of the scales; nvfp4 has one of 8 bits for 16 weights, mxfp4 one for 32."""


def quantization(fields: Fields) -> Quantization | None:
    """The quantisation, or None for weights of full width. A method that is not known counts as full width."""
    found = fields.sub("quantization_config", "compression_config")
    if found is None:
        return None
    method = found.text("quant_method", "method").lower().replace("_", "-")[:40]
    bits = _bits(found, method)
    if bits is None:
        return None
    return Quantization(method=method, bits=bits, experts_only=_experts_only(found, method))


def named_quantization(method: str) -> Quantization | None:
    """The quantisation that the engine does itself while it loads (its option `quantization`)."""
    bits = _PLAIN.get(method.lower().replace("-", "_"))
    return Quantization(method=method, bits=bits) if bits else None


def _bits(found: Fields, method: str) -> float | None:
    if method in ("awq", "gptq", "gptq-marlin", "awq-marlin", "auto-round", "autoround", "inc"):
        return _grouped(found.whole("bits", "w_bit", most=16) or 4, found.raw("group_size", "q_group_size"))
    if method == "bitsandbytes":
        return 8.1 if found.flag("load_in_8bit") else 4.5
    if method in ("compressed-tensors", "quark"):
        return _compressed(found)
    algorithm = found.text("quant_algo").upper()
    if "FP4" in algorithm:
        return 4.5
    return _PLAIN.get(method.replace("-", "_"))


def _grouped(bits: int, group: object) -> float:
    """Weights in groups, each with a scale and a zero point; -1 means one group a column."""
    size = group if isinstance(group, int) and not isinstance(group, bool) and group > 0 else 4096
    return bits + (SCALE_BITS + bits) / size


def _compressed(found: Fields) -> float | None:
    """The widest of the groups of a compressed-tensors configuration."""
    groups = found.raw("config_groups")
    if not isinstance(groups, dict):
        return 8.0 if "fp8" in str(found.raw("format", "fmt"))[:200] else None
    widths = [_group_bits(Fields(strings(group))) for group in list(groups.values())[:64] if isinstance(group, dict)]
    return max((width for width in widths if width is not None), default=None)


def _group_bits(group: Fields) -> float | None:
    weights = group.sub("weights")
    bits = weights.whole("num_bits", most=16) if weights else None
    if weights is None or bits is None:
        return None
    size = weights.raw("group_size")
    grouped = isinstance(size, int) and not isinstance(size, bool) and size > 0
    return _grouped(bits, size) if grouped and bits < 8 else float(bits)


def _experts_only(found: Fields, method: str) -> bool:
    """Whether attention stays at full width: gpt-oss says so by its list of parts that are not converted."""
    kept = found.items("modules_to_not_convert", "ignored_layers", "ignore", "exclude_modules") or []
    names = [name for name in kept if isinstance(name, str)]
    whole = [name for name in names if "self_attn" in name and ("*" in name or "re:" in name or name == "self_attn")]
    return method == "mxfp4" or bool(whole) or sum("attn" in name for name in names) > 40

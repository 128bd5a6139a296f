"""Kubernetes quantities such as 500m, 4Gi and 1e3, as exact numbers."""

from __future__ import annotations

import math
import re
from decimal import Decimal

_SUFFIXES: dict[str, Decimal | int] = {
    "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40, "Pi": 2**50, "Ei": 2**60,
    "n": Decimal("1e-9"), "u": Decimal("1e-6"), "m": Decimal("1e-3"),
    "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12, "P": 10**15, "E": 10**18,
}  # fmt: skip
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")


def parse_quantity(text: str) -> Decimal:
    """The number a quantity stands for. Raises ValueError with the text in it when it is none."""
    suffix = next((end for end in _SUFFIXES if text.endswith(end)), "")
    number = text.removesuffix(suffix)
    if not _NUMBER.fullmatch(number):
        raise ValueError(f"{text!r} is no Kubernetes quantity; examples are 500m, 2 and 4Gi")
    return Decimal(number) * _SUFFIXES.get(suffix, 1)


def in_units(quantity: str, divisor: str) -> int:
    """How many units of `divisor` a quantity is, rounded up as the downward API does."""
    return math.ceil(parse_quantity(quantity) / (parse_quantity(divisor) or 1))

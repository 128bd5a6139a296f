"""The names and shapes in a safetensors file, from its header alone, and whether the file is whole.

The format: 8 bytes with the header's length (little endian), the header as JSON, then the tensors' bytes. The header
names for each tensor its type, shape and place. (Documentation of safetensors, 'Format'.)
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from services.inference.adapters.wanted import AdapterError

LONGEST_HEADER: Final = 100 * 2**20
"""Bytes of the longest header that safetensors itself takes."""

Shape = tuple[int, ...]
"""Empty for whole numbers: quantized weights are packed into them, so their shape says nothing of the matrix."""


def read_shapes(file: Path) -> dict[str, Shape]:
    """Shapes by name. Raises AdapterError if the file is not whole or no safetensors file; OSError."""
    size = file.stat().st_size
    with file.open("rb") as opened:
        length = int.from_bytes(opened.read(8), "little")
        if size < 8 or length > min(size - 8, LONGEST_HEADER):
            raise AdapterError(f"{file.name} is no safetensors file, or it is cut short: it has {size} bytes.")
        header = _json(opened.read(length), file.name)
    found = {name: _shape(entry, file.name) for name, entry in header.items() if name != "__metadata__"}
    end = max((_end(entry, file.name) for name, entry in header.items() if name != "__metadata__"), default=0)
    if 8 + length + end != size:
        raise AdapterError(
            f"{file.name} is cut short: it has {size} bytes, and its header speaks of {8 + length + end}."
        )
    return found


def _json(text: bytes, name: str) -> Mapping[str, object]:
    try:
        header: object = json.loads(text)
    except (ValueError, RecursionError):
        header = None
    if not isinstance(header, dict):
        raise AdapterError(f"{name} is no safetensors file: its header cannot be read.")
    return header


def _shape(entry: object, name: str) -> Shape:
    shape = tuple(_numbers(entry, "shape", name))
    return () if isinstance(entry, dict) and str(entry.get("dtype", "")).startswith(("I", "U")) else shape


def _end(entry: object, name: str) -> int:
    offsets = _numbers(entry, "data_offsets", name)
    if len(offsets) != 2 or not 0 <= offsets[0] <= offsets[1]:
        raise AdapterError(f"{name} is no safetensors file: a tensor's place in it makes no sense.")
    return offsets[1]


def _numbers(entry: object, field: str, name: str) -> list[int]:
    values = entry.get(field) if isinstance(entry, dict) else None
    if not isinstance(values, list) or not all(type(value) is int and value >= 0 for value in values):
        raise AdapterError(f"{name} is no safetensors file: a tensor has no {field}.")
    return values

"""The header of a safetensors file: what tensors it holds, of what type, and how many bytes each takes. Pure.

The format (huggingface/safetensors, "Format"): 8 bytes with the header's length as little-endian integer, the header
as JSON, then the tensors' bytes. Each entry has `dtype`, `shape` and `data_offsets`, which count from the header's end.
"""

from __future__ import annotations

import json
from typing import Annotated, Final, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

LENGTH_BYTES: Final = 8
LONGEST_HEADER: Final = 25 * 2**20
"""Bytes of the longest header that is read. The format allows 100 MB; the largest models have under 1 MB a file."""

_NOTES: Final = "__metadata__"


class BadHeader(ValueError):
    """It is no safetensors file, or it is cut short; the message says what is wrong."""


class Tensor(NamedTuple):
    """One tensor; `size` in bytes."""

    name: str
    dtype: str
    size: int


class _Entry(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)

    dtype: Annotated[str, Field(max_length=32)]
    data_offsets: Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=2, max_length=2)]


_ENTRIES: Final = TypeAdapter(dict[str, _Entry])


def header_length(start: bytes | bytearray) -> int:
    """Bytes of the header, from the first 8 bytes of the file.

    Raises BadHeader if the file is shorter than that, or says something absurd.
    """
    if len(start) < LENGTH_BYTES:
        raise BadHeader("the file is too short to be a safetensors file")
    length = int.from_bytes(start[:LENGTH_BYTES], "little")
    if not 2 <= length <= LONGEST_HEADER:
        raise BadHeader(f"it says that its header has {length} bytes, and at most {LONGEST_HEADER} are read")
    return length


def read_header(text: bytes | bytearray, file_size: int | None = None) -> list[Tensor]:
    """The tensors of a file, from the JSON of its header. `file_size` is the size of the whole file, where known.

    Raises BadHeader if the header cannot be read, or the file does not end where its last tensor does.
    """
    entries = _entries(text)
    end = max((entry.data_offsets[1] for entry in entries.values()), default=0)
    expected = LENGTH_BYTES + len(text) + end
    if file_size is not None and file_size != expected:
        raise BadHeader(f"the file has {file_size} bytes, and by its header it should have {expected}")
    return [Tensor(name, entry.dtype, _size(name, entry)) for name, entry in entries.items()]


def _entries(text: bytes | bytearray) -> dict[str, _Entry]:
    try:
        content: object = json.loads(text)
        if isinstance(content, dict):
            content.pop(_NOTES, None)
        return _ENTRIES.validate_python(content)
    except ValidationError as error:
        first = error.errors()[0]
        raise BadHeader(f"{'.'.join(map(str, first['loc'][:2])) or 'the header'}: {first['msg']}") from error
    except (ValueError, RecursionError) as error:
        raise BadHeader(f"its header is not JSON: {error}") from error


def _size(name: str, entry: _Entry) -> int:
    begin, end = entry.data_offsets
    if end < begin:
        raise BadHeader(f"the tensor {name} ends before it begins")
    return end - begin

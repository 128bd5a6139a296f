"""A model in a folder of this machine: its shapes, and the bytes of its weights where their files are there."""

from __future__ import annotations

import json
import struct
from pathlib import Path

from services.scheduler.config_fields import strings
from services.scheduler.config_json import read_config_json
from services.scheduler.frozen import Facts
from services.scheduler.shapes import NoShapes, Shapes

LARGEST_JSON = 64 << 20
"""Bytes of the largest file of JSON that is read; the headers of the largest checkpoints have 20 MB."""


class LocalModel(Facts):
    """A model's shapes, and the GiB of its weights as stored; None where only `config.json` is there."""

    shapes: Shapes
    weights_gib: float | None = None


class BadModel(Exception):
    """The folder holds no model that can be sized; the message says why."""


def read_folder(folder: Path) -> LocalModel:
    """Read the folder, or a `config.json` itself. Raises BadModel."""
    config = folder if folder.is_file() else folder / "config.json"
    if not config.exists():
        raise BadModel(f"{folder} has no config.json, so it is not known how the model is built.{_only_gguf(folder)}")
    shapes = read_config_json(_json(config))
    if isinstance(shapes, NoShapes):
        raise BadModel(f"{config}: {shapes.reason}")
    stored = _stored_bytes(config.parent)
    return LocalModel(shapes=shapes, weights_gib=stored / 2**30 if stored else None)


def _only_gguf(folder: Path) -> str:
    found = next(folder.glob("*.gguf"), None)
    return " Its weights are GGUF, and this version serves safetensors." if found else ""


def _json(path: Path) -> object:
    try:
        if path.stat().st_size > LARGEST_JSON:
            raise BadModel(f"{path} has more than {LARGEST_JSON >> 20} MiB; that is no file of settings.")
        return json.loads(path.read_bytes())
    except OSError as error:
        raise BadModel(f"{path} cannot be read: {error.strerror or error}.") from error
    except (ValueError, RecursionError) as error:
        raise BadModel(f"{path} is not JSON: {error}.") from error


def _stored_bytes(folder: Path) -> int:
    """Bytes of all tensors: of the files' headers, else as the index of a checkpoint in parts tells."""
    files = sorted(folder.glob("*.safetensors"))
    if files:
        return sum(_tensor_bytes(file) for file in files)
    index = folder / "model.safetensors.index.json"
    if not index.is_file():
        return 0
    content = _json(index)
    metadata = content.get("metadata") if isinstance(content, dict) else None
    total = metadata.get("total_size") if isinstance(metadata, dict) else None
    return total if isinstance(total, int) and total > 0 else 0


def _tensor_bytes(file: Path) -> int:
    """Bytes of the tensors of one file, from the header that a safetensors file begins with."""
    try:
        with file.open("rb") as opened:
            (length,) = struct.unpack("<Q", opened.read(8))
            if length > LARGEST_JSON:
                raise BadModel(f"{file} has a header of {length} bytes; it is no safetensors file.")
            header = json.loads(opened.read(length))
        entries = [value for key, value in strings(header).items() if key != "__metadata__"]
        return sum(
            end - begin for begin, end in (entry["data_offsets"] for entry in entries if isinstance(entry, dict))
        )
    except OSError as error:
        raise BadModel(f"{file} cannot be read: {error.strerror or error}.") from error
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, struct.error) as error:
        raise BadModel(f"{file} is no safetensors file, or is cut off.") from error

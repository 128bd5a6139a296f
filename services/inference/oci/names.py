"""Which files of an image or artifact are let through, and where. Pure.

Weights in Python's pickle run code when they are read, so they are refused by name, and nothing that holds code is
let through: what is left is safetensors, JSON, text and the tokenizers' own files.
"""

from __future__ import annotations

from enum import StrEnum
from pathlib import PurePosixPath
from typing import Final

from services.inference.oci.errors import Hostile, OciError

PICKLES: Final = (".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".joblib", ".nemo")
_TEXTS: Final = (".json", ".txt", ".jinja", ".md")
_TOKENIZERS: Final = (".model", ".tiktoken", ".spm", ".bpe", ".vocab")
_PLAIN: Final = ("license", "notice")
_TABLES: Final = (".csv", ".jsonl", ".parquet", ".arrow", ".tsv")
_DEEPEST: Final = 16


class Kind(StrEnum):
    """What is pulled, by which it follows which files are let through."""

    MODEL = "model"
    ADAPTER = "adapter"
    DATA = "data"

    @property
    def suffixes(self) -> tuple[str, ...]:
        """The ends of the names that are let through."""
        if self is Kind.DATA:
            return (*_TABLES, ".json", ".txt")
        return (".safetensors", *_TEXTS, *_TOKENIZERS)


def is_wanted(kind: Kind, name: str) -> bool:
    """Whether a file is let through; False for one that is left out. Raises OciError for one that must not be there."""
    low = name.lower()
    if low.endswith(PICKLES) and kind is not Kind.DATA:
        raise OciError(
            f"{shown(name)} is refused: files that end in {PurePosixPath(low).suffix} hold Python pickles, which run "
            "code when they are read. Convert the weights to safetensors and push them anew."
        )
    return low.endswith(kind.suffixes) or PurePosixPath(low).name in _PLAIN


def safe_path(name: str) -> PurePosixPath:
    """The name of a file as a path below a folder. Raises Hostile where it would lead out of it."""
    if "\0" in name or "\\" in name or any(0xD800 <= ord(c) <= 0xDFFF for c in name):
        raise Hostile(f"The name {shown(name)} holds characters that no file's name may have.")
    if name.startswith("/"):
        raise Hostile(f"The name {shown(name)} is absolute: it would be written outside of the folder.")
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise Hostile(f"The name {shown(name)} leads out of the folder.")
    if not parts or len(parts) > _DEEPEST or any(len(part.encode()) > 255 for part in parts):
        raise Hostile(f"The name {shown(name)} is empty, too long or nested too deep.")
    return PurePosixPath(*parts)


def shown(name: str) -> str:
    """A name for a message: quoted, and not endless."""
    return repr(name if len(name) <= 100 else f"{name[:97]}...")

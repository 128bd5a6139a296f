"""The files of a data set: which are read, as what, and whether they can be; and our own. Without PyTorch."""

from __future__ import annotations

import codecs
import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from services.inference.tuning.failure import TuningError

BUILDERS: Final = {".csv": "csv", ".json": "json", ".jsonl": "json", ".parquet": "parquet", ".arrow": "arrow"}
"""The reader of the datasets library for each end of a name."""
_TEXTS: Final = (".csv", ".json", ".jsonl")
_CHUNK: Final = 2**20


def write_whole(path: Path, text: str) -> None:
    """Write a file so that it is there as a whole, or as it was before, whenever the process is killed."""
    draft = path.with_name(f".{path.name}.draft")
    draft.write_text(text)
    os.replace(draft, path)


def data_files(folder: Path, wanted: str | None) -> list[Path]:
    """The files of one format, by name. Raises TuningError where there is none, or more than one format."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file() and not _hidden(path, folder)]
    ends = {path.suffix.lower() for path in files} & BUILDERS.keys()
    if wanted:
        ends &= {f".{wanted}"}
    if not ends:
        found = ", ".join(path.name for path in files)[:200] or "no file"
        what = f"that ends in .{wanted}" if wanted else f"that ends in {', '.join(BUILDERS)}"
        raise TuningError(f"There is no file {what}; there is {found}.")
    if len(ends) > 1:
        raise TuningError(
            f"There are files of several formats ({', '.join(sorted(ends))}). Name one in "
            "DatasetConfig.dataset_file_extension."
        )
    chosen = [path for path in files if path.suffix.lower() in ends]
    for path in chosen:
        check_file(path)
    return chosen


def check_file(path: Path) -> None:
    """Raises TuningError where a file is empty, or is text and not UTF-8."""
    if not path.stat().st_size:
        raise TuningError(f"{path.name} is empty.")
    if path.suffix.lower() not in _TEXTS:
        return
    decoder, at = codecs.getincrementaldecoder("utf-8")(), 0
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            try:
                decoder.decode(chunk)
            except UnicodeDecodeError as error:
                raise TuningError(
                    f"{path.name} is not UTF-8: there is a byte 0x{error.object[error.start]:02x} near byte "
                    f"{at + error.start}. Save it as UTF-8."
                ) from None
            at += len(chunk)


def digest_of(files: Sequence[Path]) -> str:
    """One digest for the names and the bytes of all files."""
    whole = hashlib.sha256()
    for path in files:
        with path.open("rb") as file:
            whole.update(f"{path.name}\n{hashlib.file_digest(file, 'sha256').hexdigest()}\n".encode())
    return f"sha256:{whole.hexdigest()}"


def _hidden(path: Path, folder: Path) -> bool:
    return any(part.startswith(".") for part in path.relative_to(folder).parts)

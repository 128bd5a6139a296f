"""A file that is fetched from a URL: it grows in a hidden place, which outlives the process, until it is whole."""

from __future__ import annotations

import hashlib
import json
import os
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple

from services.inference.url_rules import free_name

HIDDEN: Final = ".fetched"
"""Folder within the target for what is under way, and for what is known of files that are whole."""


class Whole(NamedTuple):
    """A file that is there: its path, bytes, and SHA-256 as hexadecimal digits."""

    path: Path
    bytes: int
    sha256: str


class Growing:
    """One file under way. `validator` is the ETag or date by which a server knows whether it is still the same file.

    Of the address only a digest is kept: it may hold a key.
    """

    def __init__(self, folder: Path, url: str) -> None:
        self._folder = folder
        self._hidden = folder / HIDDEN
        self._hidden.mkdir(parents=True, exist_ok=True)
        self._key = hashlib.sha256(url.encode()).hexdigest()[:32]
        self._part = self._hidden / f"{self._key}.part"
        self._note = self._hidden / f"{self._key}.validator"
        self._record = self._hidden / f"{self._key}.json"

    @property
    def size(self) -> int:
        """Bytes that are here."""
        return self._part.stat().st_size if self._part.is_file() else 0

    @property
    def validator(self) -> str:
        """By what the server knows the file of which these bytes are; nothing where it has none."""
        return self._note.read_text() if self._note.is_file() else ""

    def restart(self, validator: str) -> None:
        """Throw away what has come: another file follows, or the same from its first byte."""
        self._part.unlink(missing_ok=True)
        self._note.write_text(validator)

    def append(self) -> BinaryIO:
        """The file, to write on at its end."""
        return self._part.open("ab")

    def whole(self) -> Whole | None:
        """The file, if an earlier run has brought it and it is still there."""
        with suppress(OSError, ValueError, KeyError, TypeError):
            record = json.loads(self._record.read_text())
            path = self._folder / Path(record["name"]).name
            if path.stat().st_size == record["bytes"]:
                return Whole(path, int(record["bytes"]), str(record["sha256"]))
        return None

    def finish(self, name: str) -> Whole:
        """Put the file in its place under a name that is free, in one step."""
        if not self._part.is_file():
            self._part.touch()
        with self._part.open("rb+") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            os.fsync(file.fileno())
        taken = {path.name for path in self._folder.iterdir()}
        whole = Whole(self._folder / free_name(name, taken), self.size, digest)
        self._record.write_text(json.dumps({"name": whole.path.name, "bytes": whole.bytes, "sha256": digest}))
        self._part.replace(whole.path)
        self._note.unlink(missing_ok=True)
        return whole

"""Downloads one blob into a file that grows, and goes on with it after every break: of the network, or of ours."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, Final

import requests

from services.inference.oci.bodies import BROKEN, words
from services.inference.oci.client import CHUNK, Registry
from services.inference.oci.errors import Hostile, Passing
from services.inference.oci.manifest import Descriptor
from services.inference.oci.patience import Patience

_WRONG_TWICE: Final = 2
"""Bytes that are wrong once may have been broken on the way or on our disk; the second time it is the registry."""

Count = Callable[[int], None]
"""Told how many bytes more there are; a negative number takes some back."""


class Part:
    """A file that grows to a blob. Its bytes are hashed as they come, and those of an earlier try at the start."""

    def __init__(self, path: Path, blob: Descriptor, count: Count) -> None:
        self._blob = blob
        self._count = count
        self._hash = hashlib.new(blob.digest.partition(":")[0])
        self._file: BinaryIO = path.open("a+b")
        self._file.seek(0)
        self.size = 0
        while chunk := self._file.read(CHUNK):
            self._add(chunk)
        if self.size > blob.size:
            self.restart()

    def restart(self) -> None:
        """Throw away what has come."""
        self._file.truncate(0)
        self._count(-self.size)
        self._hash = hashlib.new(self._blob.digest.partition(":")[0])
        self.size = 0

    def write(self, chunk: bytes) -> None:
        """Add bytes. Raises Hostile if they are more than the blob has."""
        if self.size + len(chunk) > self._blob.size:
            raise Hostile(f"The registry sends more than the {self._blob.size} bytes that {self._blob.digest} has.")
        self._file.write(chunk)
        self._add(chunk)

    def is_right(self) -> bool:
        """Whether the bytes are those that the digest names; then they are on disk."""
        if self._hash.hexdigest() != self._blob.hex:
            return False
        self._file.flush()
        os.fsync(self._file.fileno())
        return True

    def close(self) -> None:
        """Keep what has come for the next try."""
        self._file.close()

    def _add(self, chunk: bytes) -> None:
        self._hash.update(chunk)
        self.size += len(chunk)
        self._count(len(chunk))


def download(
    registry: Registry, blob: Descriptor, path: Path, patience: Patience, count: Count, alive: Callable[[], None]
) -> None:
    """Bring a blob into the file `path`, from where an earlier try ended. It is whole and checked on return.

    Failures in a row without a single byte are borne as far as `patience` goes. `alive` may raise to end it.
    Raises OciError, OSError.
    """
    part = Part(path, blob, count)
    try:
        for wrong in range(1, _WRONG_TWICE + 1):
            _fill(registry, blob, part, patience, alive)
            if part.is_right():
                return
            part.restart()
            if wrong == _WRONG_TWICE:
                raise Hostile(
                    f"{registry.reference.registry}/{registry.reference.repository}: the bytes of {blob.digest} are "
                    "not those that the digest names. They were changed in the registry, or on the way. Nothing of "
                    "it is used. Push the model anew."
                )
    finally:
        part.close()


def _fill(registry: Registry, blob: Descriptor, part: Part, patience: Patience, alive: Callable[[], None]) -> None:
    failures = 0
    while part.size < blob.size:
        before = part.size
        try:
            _go_on(registry, blob, part, alive)
        except Passing as error:
            failures = 1 if part.size > before else failures + 1
            patience.bear(failures, error)


def _go_on(registry: Registry, blob: Descriptor, part: Part, alive: Callable[[], None]) -> None:
    """Ask for the rest and take what comes. Raises Passing if it is not all."""
    with registry.blob(blob.digest, part.size) as response:
        if part.size and not _continues(response, part.size):
            part.restart()
        try:
            for chunk in response.iter_content(CHUNK):
                alive()
                part.write(chunk)
        except BROKEN as error:
            raise Passing(f"{registry.reference.registry} broke off: {words(error)}.") from error
    if part.size < blob.size:
        raise Passing(f"{registry.reference.registry} ended {blob.digest} after {part.size} of {blob.size} bytes.")


def _continues(response: requests.Response, start: int) -> bool:
    """Whether an answer goes on at the byte that was asked for (RFC 9110, 14.4)."""
    return response.status_code == 206 and response.headers.get("Content-Range", "").startswith(f"bytes {start}-")

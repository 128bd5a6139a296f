"""Unpacks one layer's archive into a folder of its own. The archive is taken for hostile.

Only regular files are written, below the folder, with modes of our own. Links, devices and names that lead out end
it, and so do more entries or bytes than the limits allow, whether a header claims them or the archive really has
them. Whiteouts, by which an upper layer of an image deletes what is below, are handed back.
"""

from __future__ import annotations

import gzip
import io
import os
import tarfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple, Self

from services.inference.oci.errors import Hostile
from services.inference.oci.layers import ROOTS
from services.inference.oci.names import safe_path, shown

CHUNK: Final = 2**20
WHITEOUT: Final = ".wh."
OPAQUE: Final = ".wh..wh..opq"
_LARGEST_HEADER: Final = 2**20
"""Bytes of the longest name or extended header; the tar module reads these into memory as long as they claim to be."""
_EXTENDED: Final = (
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
)


class Bounds(NamedTuple):
    """How much an archive may hold: bytes of all its files together, and entries."""

    bytes: int
    entries: int = 100_000


class Unpacked(NamedTuple):
    """What an archive said besides its files: paths that it deletes, and folders that it makes empty first."""

    removed: tuple[str, ...] = ()
    emptied: tuple[str, ...] = ()


def unpack(
    archive: Path,
    into: Path,
    bounds: Bounds,
    *,
    gzipped: bool,
    of_image: bool,
    alive: Callable[[], None] = lambda: None,
) -> Unpacked:
    """Write the files of a layer below the folder `into`, which exists. Of an image only those below `ROOTS`.

    `alive` is called again and again; it may raise to end it. Raises Hostile, OSError.
    """
    try:
        with archive.open("rb") as raw:
            plain: BinaryIO = gzip.GzipFile(fileobj=raw) if gzipped else raw  # type: ignore[assignment]
            counted = _Counted(plain, bounds.bytes + bounds.entries * 2 * tarfile.BLOCKSIZE, alive)
            with tarfile.open(fileobj=counted, mode="r|", tarinfo=_Header) as tar:
                return _Extraction(into, bounds, of_image).run(tar)
    except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile, ValueError, RecursionError) as error:
        raise Hostile(
            f"A layer is no whole archive: {' '.join(str(error).split())[:200] or type(error).__name__}."
        ) from error


class _Counted(io.RawIOBase):
    """A stream that ends with an error once more bytes have come than may: a compressed bomb is cut short."""

    def __init__(self, stream: BinaryIO, most: int, alive: Callable[[], None]) -> None:
        self._stream = stream
        self._left = most
        self._alive = alive

    def read(self, size: int = -1) -> bytes:
        self._alive()
        data = self._stream.read(min(size, CHUNK) if size >= 0 else CHUNK)
        self._left -= len(data)
        if self._left < 0:
            raise Hostile("A layer unpacks to more bytes than may be pulled: it is a bomb, or the limit is too low.")
        return data


class _Header(tarfile.TarInfo):
    """An entry's header that is looked at before the tar module acts on it."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        """Read a header. Raises Hostile for those that would have the tar module read without end."""
        found = super().frombuf(buf, encoding, errors)
        if found.size < 0 or (found.type in _EXTENDED and found.size > _LARGEST_HEADER):
            raise Hostile("A layer has an extended header of a size that no name needs.")
        if found.type == tarfile.GNUTYPE_SPARSE:
            raise Hostile(f"A layer has the sparse file {shown(found.name)}, which could claim any size.")
        return found


class _Extraction:
    """One archive's way into a folder."""

    def __init__(self, into: Path, bounds: Bounds, of_image: bool) -> None:
        self._into = into
        self._bounds = bounds
        self._of_image = of_image
        self._written = 0
        self._removed: list[str] = []
        self._emptied: list[str] = []

    def run(self, tar: tarfile.TarFile) -> Unpacked:
        for count, entry in enumerate(tar, start=1):
            if count > self._bounds.entries:
                raise Hostile(f"A layer has more than {self._bounds.entries} entries.")
            self._take(tar, entry)
            tar.members.clear()  # type: ignore[attr-defined] # it would keep all of them
        return Unpacked(tuple(self._removed), tuple(self._emptied))

    def _take(self, tar: tarfile.TarFile, entry: tarfile.TarInfo) -> None:
        name = entry.name
        if self._of_image and not _below_roots(name):
            return  # the rest of the system: its links and devices are none of our business
        if entry.isdir():
            return  # folders are made where files need them
        path = safe_path(name)
        if path.name.startswith(WHITEOUT):
            self._delete(str(path.parent), path.name)
        elif not entry.isreg() or entry.issparse():
            raise Hostile(f"A layer has {shown(name)}, which is {_what(entry)}: only plain files are taken.")
        else:
            self._write(tar, entry, self._into / path)

    def _delete(self, folder: str, name: str) -> None:
        if name == OPAQUE:
            self._emptied.append(folder)
        else:
            self._removed.append(str(safe_path(f"{folder}/{name.removeprefix(WHITEOUT)}")))

    def _write(self, tar: tarfile.TarFile, entry: tarfile.TarInfo, path: Path) -> None:
        self._written += entry.size
        if entry.size < 0 or self._written > self._bounds.bytes:
            raise Hostile(
                f"A layer claims {self._written} bytes with {shown(entry.name)}; {self._bounds.bytes} may be pulled."
            )
        source = tar.extractfile(entry)
        if source is None:
            raise Hostile(f"A layer has {shown(entry.name)} without content.")
        _make_folder(self._into, path.parent)
        if path.is_dir():
            raise Hostile(f"A layer has {shown(entry.name)} as a folder and as a file.")
        path.unlink(missing_ok=True)
        with source, path.open("xb") as target:
            left = entry.size
            while left and (chunk := source.read(min(CHUNK, left))):
                target.write(chunk)
                left -= len(chunk)
            if left:
                raise Hostile(f"A layer ends within {shown(entry.name)}.")
            target.flush()
            os.fchmod(target.fileno(), 0o444)
            os.fsync(target.fileno())


def _make_folder(root: Path, folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise Hostile(f"A layer has {shown(str(folder.relative_to(root)))} as a file and as a folder.") from error


def _below_roots(name: str) -> bool:
    """Whether an image's entry is below one of the folders that are read. `a/../data` is: it is refused later."""
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if ".." in parts:
        return any(root in parts for root in ROOTS)
    return (len(parts) > 1 and parts[0] in ROOTS) or (len(parts) == 1 and parts[0].removeprefix(WHITEOUT) in ROOTS)


def _what(entry: tarfile.TarInfo) -> str:
    if entry.issym() or entry.islnk():
        return f"a link to {shown(entry.linkname)}"
    return "a sparse file" if entry.issparse() else "a device or pipe"

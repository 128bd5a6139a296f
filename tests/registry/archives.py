"""Archives as an attacker writes them: each entry by its raw header, whatever the tar module would refuse to make."""

from __future__ import annotations

import gzip
import io
import tarfile
from collections.abc import Iterable
from pathlib import Path


def entry(
    name: str, content: bytes = b"x", *, kind: bytes = tarfile.REGTYPE, link: str = "", size: int | None = None
) -> bytes:
    """One entry; `size` is what the header claims."""
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    info.size = len(content) if size is None else size
    body = content if kind in (tarfile.REGTYPE, tarfile.AREGTYPE) else b""
    return info.tobuf(tarfile.GNU_FORMAT) + body + bytes(-len(body) % tarfile.BLOCKSIZE)


def archive(path: Path, entries: Iterable[bytes], *, gzipped: bool = False, whole: bool = True) -> Path:
    """Write an archive of such entries."""
    data = b"".join(entries) + (bytes(2 * tarfile.BLOCKSIZE) if whole else b"")
    path.write_bytes(gzip.compress(data) if gzipped else data)
    return path


def listing(folder: Path) -> dict[str, bytes]:
    """The files below a folder."""
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def plain_tar(files: dict[str, bytes]) -> bytes:
    """An archive that the tar module makes."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return made.getvalue()

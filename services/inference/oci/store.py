"""The cache of a node or a pod: what was pulled, by digest, whole or not there at all.

    parts/      blobs under way, and the locks of all that is being made
    layers/     what is read from each layer, by digest: a file, or a folder with an archive's files
    trees/      the files of each image or artifact, by digest: hard links to those of its layers

Whoever makes something holds its lock; another pod of the node waits, and then finds it made.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from services.inference.oci.errors import OciError
from services.inference.oci.layers import Layer

LOCK_POLL_S: Final = 0.2


class Store:
    """A folder for what was pulled. Processes and threads may share it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._parts, self._layers, self._trees = folder / "parts", folder / "layers", folder / "trees"
        for part in (self._parts, self._layers, self._trees):
            part.mkdir(parents=True, exist_ok=True)

    def part(self, layer: Layer) -> Path:
        """Where a layer's blob grows."""
        return self._parts / f"{layer.key}.part"

    def layer(self, layer: Layer) -> Path:
        """What is read from a layer: there, and whole, or not."""
        return self._layers / layer.key

    def tree(self, name: str) -> Path:
        """The files of an image or artifact: there, and whole, or not."""
        return self._trees / name

    def missing_bytes(self, layers: list[Layer]) -> int:
        """Bytes of this disk that the layers still take: those of an archive twice, while it is unpacked."""
        missing = [layer for layer in layers if not self.layer(layer).exists()]
        have = sum(size(self.part(layer)) for layer in missing)
        return max(0, sum(layer.blob.size * (1 if layer.name else 2) for layer in missing) - have)

    def check_room(self, needed: int) -> None:
        """Raises OciError where the disk has less room than that."""
        free = shutil.disk_usage(self.folder).free
        if needed > free:
            raise OciError(
                f"The files take {gib(needed)} more on the disk at {self.folder}, which has {gib(free)} free. "
                "Choose a machine with a larger disk."
            )

    @contextmanager
    def making(self, target: Path, pause: Callable[[float], object]) -> Iterator[bool]:
        """Hold the right to make `target`. Yields False if it is made already, after waiting for who makes it."""
        with (self._parts / f"{target.name}.lock").open("w") as handle:
            while not target.exists():
                try:
                    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    pause(LOCK_POLL_S)
                else:
                    break
            yield not target.exists()


@contextmanager
def made_whole(target: Path) -> Iterator[Path]:
    """An empty folder that takes its place as `target` when the block ends well. Only for whoever makes `target`."""
    draft = target.with_name(f".{target.name}.draft")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    try:
        yield draft
        draft.rename(target)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def link(source: Path, target: Path) -> None:
    """The same file under another name: a hard link, or a copy where the disk has none."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def point(name: Path, folder: Path) -> None:
    """Make `name` lead to a folder, in one step: whoever looks finds what was there before, or the new."""
    name.parent.mkdir(parents=True, exist_ok=True)
    draft = name.with_name(f".{name.name}.{os.getpid()}")
    with suppress(FileNotFoundError):
        draft.unlink()
    draft.symlink_to(folder.resolve())
    try:
        draft.replace(name)
    except OSError as error:
        draft.unlink()
        raise OciError(f"{name} is a folder already, so what was pulled cannot be put there.") from error


def size(path: Path) -> int:
    """Bytes of a file; 0 where there is none."""
    try:
        return path.stat().st_size
    except OSError:
        return 0


def gib(count: int) -> str:
    """Bytes for a person."""
    for unit, width in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if count >= width:
            return f"{count / width:.1f} {unit}"
    return f"{count} bytes"

"""Pushes a folder as an image or artifact: blobs first, those that are missing alone, and the manifest last.

So whatever breaks off leaves at most blobs behind that nothing names, and the registry throws them away.

An `image` holds each large file in a layer of its own, below `data/`: clusters mount it as a volume, and KAITO reads
it. An `artifact` holds each file as it is, as ORAS does. Both say by their `artifactType` what they are.
"""

from __future__ import annotations

import hashlib
import json
import tarfile
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, NamedTuple

from services.inference.oci.client import CHUNK, Registry
from services.inference.oci.errors import OciError
from services.inference.oci.manifest import OCI_CONFIG, OCI_EMPTY, OCI_MANIFEST, OCI_TAR, TITLE
from services.inference.oci.names import Kind, is_wanted, shown
from services.inference.oci.pack_format import Format
from services.inference.oci.patience import Patience, patiently
from services.inference.oci.pull import Progress
from services.inference.oci.tree import check_kind

ARTIFACT_TYPE: Final = "application/vnd.kaitobus.{kind}.v1"
FILE_TYPE: Final = "application/vnd.kaitobus.file.v1"
MODEL_NAME: Final = "sh.kaito.model.name"
"""Annotation with the model's id; for an adapter that of its base. KAITO's name for it."""
REVISION: Final = "org.opencontainers.image.revision"
DATA_DIGEST: Final = "sh.kaito.data.digest"
"""Annotation with the digest of the data that an adapter was tuned on."""
CREATED: Final = "1970-01-01T00:00:00Z"
"""The same files give the same digest, whenever they are pushed."""
_SMALL: Final = 16 * 2**20
_MOST_LAYERS: Final = 100
"""Container runtimes stack at most some 120 layers."""


class Blob(NamedTuple):
    """A layer to be: files by the names they get, and whether they are wrapped as an archive."""

    files: tuple[tuple[str, Path], ...]
    archive: bool

    @property
    def size(self) -> int:
        """Bytes."""
        plain = sum(path.stat().st_size for _, path in self.files)
        return sum(len(piece) for piece in self._frame()) + plain if self.archive else plain

    def content(self) -> Iterator[bytes]:
        """The bytes, piece by piece: for an archive header, file and padding, as `tar` writes them."""
        for name, path in self.files:
            length = path.stat().st_size
            if self.archive:
                yield _header(name, length)
            yield from _pieces(path, length)
            if self.archive:
                yield bytes(-length % tarfile.BLOCKSIZE)
        if self.archive:
            yield bytes(2 * tarfile.BLOCKSIZE)

    def _frame(self) -> Iterator[bytes]:
        for name, path in self.files:
            length = path.stat().st_size
            yield _header(name, length)
            yield bytes(-length % tarfile.BLOCKSIZE)
        yield bytes(2 * tarfile.BLOCKSIZE)


class Pushed(NamedTuple):
    """What was pushed: the digest of the manifest, all bytes, and those that the registry had before."""

    digest: str
    bytes: int
    found: int
    layers: int


def push(
    registry: Registry,
    folder: Path,
    kind: Kind,
    *,
    annotations: Mapping[str, str] | None = None,
    how: Format = Format.IMAGE,
    mount_from: str | None = None,
    at_once: int = 4,
    patience: Patience = Patience(),  # noqa: B008 - an immutable tuple
    progress: Progress = lambda _done, _total: None,
) -> Pushed:
    """Push the files of a folder that are let through for their kind. Raises OciError, OSError.

    `mount_from` is another repository of the registry, whose blobs are taken over where it has them.
    """
    blobs = plan_blobs(files_of(folder, kind), how)
    total = sum(blob.size for blob in blobs)
    sender = _Sender(registry, patience, mount_from, progress, total)
    with ThreadPoolExecutor(at_once, thread_name_prefix="push") as pool:
        try:
            layers = list(pool.map(sender.send, blobs))
        finally:
            sender.stop.set()
            pool.shutdown(cancel_futures=True)
    sender.stop.clear()
    config_type, config = _config(how, layers, annotations or {})
    sender.send_small(config)
    manifest = _manifest(kind, config_type, config, layers, annotations or {})
    digest = _digest(manifest)
    wanted = registry.reference.tag or digest
    patiently(patience, lambda: registry.put_manifest(wanted, OCI_MANIFEST, manifest))
    return Pushed(digest, total, sender.found, len(layers))


def files_of(folder: Path, kind: Kind) -> list[tuple[str, Path]]:
    """The files of a folder that are pushed, by name. Raises OciError for pickles, and where it is not of that kind."""
    if not folder.is_dir():
        raise OciError(f"{folder} is no folder.")
    check_kind(folder, kind)
    found = [(path.relative_to(folder).as_posix(), path) for path in sorted(folder.rglob("*")) if path.is_file()]
    hidden = [(name, path) for name, path in found if not any(part.startswith(".") for part in name.split("/"))]
    return [(name, path) for name, path in hidden if is_wanted(kind, name)]


def plan_blobs(files: Sequence[tuple[str, Path]], how: Format) -> list[Blob]:
    """The layers: one a file, but for an image small files share one, and no more are made than runtimes stack."""
    if how is Format.ARTIFACT:
        return [Blob((file,), archive=False) for file in files]
    small = tuple(file for file in files if file[1].stat().st_size < _SMALL)
    large = [file for file in files if file[1].stat().st_size >= _SMALL]
    each = -(-len(large) // (_MOST_LAYERS - 1)) or 1
    groups = [tuple(large[at : at + each]) for at in range(0, len(large), each)]
    return [Blob(group, archive=True) for group in ([small] if small else []) + groups]


class Stopped(Exception):
    """Another blob could not be sent, or the caller has gone."""


class _Sender:
    """Brings blobs into a repository."""

    def __init__(
        self, registry: Registry, patience: Patience, mount_from: str | None, progress: Progress, total: int
    ) -> None:
        self._registry = registry
        self._patience = patience
        self._mount_from = mount_from
        self._progress = progress
        self._total = total
        self._done = 0
        self.found = 0
        self.stop = threading.Event()

    def send(self, blob: Blob) -> dict[str, object]:
        """Bring a blob there, unless it is; its descriptor."""
        size = blob.size
        digest = _digest(blob.content())
        if self._there(digest):
            self.found += size
            self._count(size)
        else:
            patiently(self._patience, lambda: self._upload(digest, blob))
        entry: dict[str, object] = {"mediaType": OCI_TAR if blob.archive else FILE_TYPE, "digest": digest, "size": size}
        if not blob.archive:
            entry["annotations"] = {TITLE: blob.files[0][0]}
        return entry

    def send_small(self, content: bytes) -> None:
        """Bring the config there."""
        digest = _digest(content)
        if not patiently(self._patience, lambda: self._registry.has_blob(digest)):
            patiently(self._patience, lambda: self._send_bytes(digest, content))

    def _there(self, digest: str) -> bool:
        return patiently(self._patience, lambda: self._registry.has_blob(digest))

    def _upload(self, digest: str, blob: Blob) -> None:
        """One try. One that breaks off is begun anew."""
        place = self._registry.start_upload(digest, self._mount_from)
        sent = 0
        if place is None:
            self._count(blob.size)
            return

        def counted() -> Iterator[bytes]:
            nonlocal sent
            for piece in blob.content():
                if self.stop.is_set():
                    raise Stopped
                yield piece
                sent += len(piece)
                self._count(len(piece))

        try:
            self._registry.upload(place, digest, counted)
        except OciError:
            self._count(-sent)
            raise

    def _send_bytes(self, digest: str, content: bytes) -> None:
        place = self._registry.start_upload(digest)
        if place is not None:
            self._registry.upload(place, digest, lambda: content)

    def _count(self, more: int) -> None:
        self._done += more
        self._progress(self._done, self._total)


def _config(how: Format, layers: Sequence[Mapping[str, object]], labels: Mapping[str, str]) -> tuple[str, bytes]:
    """The config of an image, which names each layer's content; nothing for an artifact."""
    if how is Format.ARTIFACT:
        return OCI_EMPTY, b"{}"
    content = {
        "architecture": "amd64",
        "os": "linux",
        "created": CREATED,
        "config": {"Labels": dict(labels)},
        "rootfs": {"type": "layers", "diff_ids": [layer["digest"] for layer in layers]},
        "history": [{"created": CREATED, "created_by": "kaitobus pack"} for _ in layers],
    }
    return OCI_CONFIG, _json(content)


def _manifest(
    kind: Kind,
    config_type: str,
    config: bytes,
    layers: Sequence[Mapping[str, object]],
    annotations: Mapping[str, str],
) -> bytes:
    return _json(
        {
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "artifactType": ARTIFACT_TYPE.format(kind=kind),
            "config": {"mediaType": config_type, "digest": _digest(config), "size": len(config)},
            "layers": list(layers),
            "annotations": dict(annotations),
        }
    )


def _json(content: object) -> bytes:
    return json.dumps(content, sort_keys=True, separators=(",", ":")).encode()


def _digest(content: bytes | Iterable[bytes]) -> str:
    digest = hashlib.sha256()
    for piece in [content] if isinstance(content, bytes) else content:
        digest.update(piece)
    return f"sha256:{digest.hexdigest()}"


def _header(name: str, size: int) -> bytes:
    entry = tarfile.TarInfo(f"data/{name}")
    entry.size = size
    entry.mode = 0o644
    return entry.tobuf(tarfile.PAX_FORMAT)


def _pieces(path: Path, length: int) -> Iterator[bytes]:
    """A file's bytes. Raises OciError if it is not as long any more as it was."""
    left = length
    with path.open("rb") as file:
        while left and (piece := file.read(min(CHUNK, left))):
            left -= len(piece)
            yield piece
    if left:
        raise OciError(f"{shown(str(path))} has become shorter while it was pushed.")

"""Pulls an image or artifact to a folder: nothing is used before all of it has come and been checked."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Final, NamedTuple

from services.inference.oci.client import Registry
from services.inference.oci.download import download
from services.inference.oci.errors import Hostile, OciError
from services.inference.oci.layers import Layer, Packing, layers_of
from services.inference.oci.manifest import Descriptor, Index, Manifest, choose_manifest, read_manifest
from services.inference.oci.names import Kind
from services.inference.oci.patience import Patience, patiently
from services.inference.oci.store import Store, gib, made_whole, point
from services.inference.oci.tree import FILES, assemble, read_content, root_of, write_taken
from services.inference.oci.unpack import Bounds, unpack

_DEEPEST_INDEX: Final = 2
Progress = Callable[[int, int], None]
"""Told, from any thread, how many bytes have come, and how many there are."""


class Limits(NamedTuple):
    """What is pulled at most: bytes, packed and unpacked alike, and blobs at once."""

    bytes: int = 2 * 2**40
    at_once: int = 4


class Pulled(NamedTuple):
    """What was pulled: the folder, the digest of its manifest, its bytes, and those that were here before."""

    folder: Path
    digest: str
    bytes: int
    found: int
    annotations: Mapping[str, str]


class Cancelled(Exception):
    """Another layer failed, or the caller has gone."""


class _Counter:
    """Counts bytes of all threads."""

    def __init__(self, total: int, progress: Progress) -> None:
        self._total = total
        self._progress = progress
        self._done = 0
        self._lock = threading.Lock()

    def __call__(self, more: int) -> None:
        with self._lock:
            self._done += more
            done = self._done
        self._progress(done, self._total)


def pull(
    registry: Registry,
    kind: Kind,
    into: Path,
    store: Store,
    *,
    limits: Limits = Limits(),  # noqa: B008 - an immutable tuple
    patience: Patience = Patience(),  # noqa: B008 - an immutable tuple
    progress: Progress = lambda _done, _total: None,
) -> Pulled:
    """Make `into` lead to the files of the registry's reference, which are kept in `store`.

    The registry is asked for the manifest each time, so that only who may read it gets its files, though they lie in
    the store. Blocks for as long as it takes. Raises OciError with a sentence for a person, OSError.
    """
    where = str(registry.reference)
    manifest, digest = resolve(registry, patience)
    layers = layers_of(manifest, kind, where)
    total = sum(layer.blob.size for layer in layers)
    if total > limits.bytes:
        raise OciError(f"{where} has {gib(total)}, and at most {gib(limits.bytes)} may be pulled.")
    found = sum(layer.blob.size for layer in layers if store.layer(layer).exists())
    tree = store.tree(f"{digest.partition(':')[2]}.{kind}")
    if not tree.exists():
        store.check_room(store.missing_bytes(layers))
        _fetch_all(registry, layers, store, limits, patience, _Counter(total, progress))
        with store.making(tree, patience.pause) as mine:
            if mine:
                with made_whole(tree) as draft:
                    assemble([read_content(store.layer(layer), layer.name) for layer in layers], kind, draft)
    point(into, root_of(tree))
    return Pulled(into, digest, total, found, manifest.annotations or {})


def resolve(registry: Registry, patience: Patience) -> tuple[Manifest, str]:
    """The manifest of the registry's reference, for linux/amd64 where there are several, and its digest."""
    wanted = registry.reference.wanted
    for _ in range(_DEEPEST_INDEX + 1):
        fetched = patiently(patience, lambda: registry.manifest(wanted))  # noqa: B023 - called at once
        read = read_manifest(fetched.content, str(registry.reference))
        if isinstance(read, Manifest):
            return read, fetched.digest
        wanted = _chosen(read, registry).digest
    raise Hostile(f"{registry.reference} has an index within an index.")


def _chosen(index: Index, registry: Registry) -> Descriptor:
    return choose_manifest(index.manifests, str(registry.reference))


def _fetch_all(
    registry: Registry, layers: list[Layer], store: Store, limits: Limits, patience: Patience, count: _Counter
) -> None:
    """Fetch what is missing, some at once. The first failure ends the others, whose parts stay for the next time."""
    stop = threading.Event()
    one = _Fetcher(registry, store, limits, patience._replace(pause=_pausing(patience, stop)), count, stop)
    distinct = {layer.key: layer for layer in layers}
    with ThreadPoolExecutor(limits.at_once, thread_name_prefix="pull") as pool:
        try:
            running = [pool.submit(one.fetch, layer) for layer in distinct.values()]
            wait(running, return_when=FIRST_EXCEPTION)
        finally:
            stop.set()
            pool.shutdown(cancel_futures=True)
    _raise_first(running)


def _pausing(patience: Patience, stop: threading.Event) -> Callable[[float], object]:
    """Pauses that end when another layer has failed. A caller's own way to wait is kept."""
    return stop.wait if patience.pause is Patience().pause else patience.pause


def _raise_first(running: list[Future[None]]) -> None:
    failed = [error for one in running if not one.cancelled() and (error := one.exception())]
    for error in failed:
        if not isinstance(error, Cancelled):
            raise error


class _Fetcher:
    """Brings single layers into the store."""

    def __init__(
        self,
        registry: Registry,
        store: Store,
        limits: Limits,
        patience: Patience,
        count: _Counter,
        stop: threading.Event,
    ) -> None:
        self._registry = registry
        self._store = store
        self._limits = limits
        self._patience = patience
        self._count = count
        self._stop = stop

    def fetch(self, layer: Layer) -> None:
        """Download and unpack a layer, unless it is there."""
        target = self._store.layer(layer)
        with self._store.making(target, self._wait) as mine:
            if not mine:
                self._count(layer.blob.size)
                return
            part = self._store.part(layer)
            download(self._registry, layer.blob, part, self._patience, self._count, self._alive)
            if layer.packing is Packing.FILE:
                part.chmod(0o444)
                part.rename(target)
                return
            self._unpack(layer, part, target)
            part.unlink()

    def _unpack(self, layer: Layer, part: Path, target: Path) -> None:
        with made_whole(target) as draft:
            folder = draft / FILES
            folder.mkdir()
            taken = unpack(
                part,
                folder,
                Bounds(self._limits.bytes),
                gzipped=layer.packing is Packing.TAR_GZIP,
                of_image=layer.of_image,
                alive=self._alive,
            )
            write_taken(draft, taken)

    def _wait(self, seconds: float) -> None:
        self._patience.pause(seconds)
        self._alive()

    def _alive(self) -> None:
        if self._stop.is_set():
            raise Cancelled

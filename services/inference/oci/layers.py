"""What the layers of a manifest are: plain files by name, or archives. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Final, NamedTuple

from services.inference.oci.errors import OciError
from services.inference.oci.manifest import OCI_EMPTY, UNPACK, Descriptor, Manifest
from services.inference.oci.names import Kind, is_wanted, safe_path, shown

ROOTS: Final = ("data", "models")
"""The folders of a container image that may hold a model's files: KAITO's, and that of images for KServe."""


class Packing(StrEnum):
    """How a layer's bytes hold files."""

    FILE = "file"
    TAR = "tar"
    TAR_GZIP = "targz"


class Layer(NamedTuple):
    """One layer: the blob, how it is packed, and the file's name if it is one. Of an image only `ROOTS` are read."""

    blob: Descriptor
    packing: Packing
    name: str | None = None
    of_image: bool = False

    @property
    def key(self) -> str:
        """A name for what is read from it: equal for the same bytes that are read in the same way."""
        return f"{self.blob.hex}.{self.packing}{'-image' if self.of_image else ''}"


def layers_of(manifest: Manifest, kind: Kind, where: str) -> list[Layer]:
    """The layers that are to be fetched, lowest first. Raises OciError for names and formats that are refused."""
    found = [layer for blob in manifest.layers if (layer := _layer(blob, manifest, where))]
    files = [layer.name for layer in found if layer.name is not None]
    twice = next((name for name in files if files.count(name) > 1), None)
    if twice:
        raise OciError(f"{where} has two layers for the file {shown(twice)}.")
    wanted = [layer for layer in found if layer.name is None or is_wanted(kind, layer.name)]
    if not wanted:
        raise OciError(f"{where} holds no files of a {kind}: {_described(manifest.layers)}.")
    return wanted


def _layer(blob: Descriptor, manifest: Manifest, where: str) -> Layer | None:
    packing = _packing(blob, where)
    if packing is not Packing.FILE:
        return Layer(blob, packing, of_image=manifest.is_image)
    if blob.media_type == OCI_EMPTY:
        return None
    if blob.title is None:
        raise OciError(
            f"{where} has a layer of type {blob.media_type[:100]!r} that is neither an archive nor has a name: push "
            "files with the annotation org.opencontainers.image.title, as oras and kaitobus pack do."
        )
    return Layer(blob, packing, name=str(safe_path(blob.title)))


def _packing(blob: Descriptor, where: str) -> Packing:
    """By the media type; ORAS marks the folders that it packs."""
    kind = blob.media_type.lower()
    if not (is_tar(kind) or (blob.annotations or {}).get(UNPACK) == "true"):
        return Packing.FILE
    if "zstd" in kind:
        raise OciError(f"{where} has a layer that is compressed with zstd, which is not read here. Push it with gzip.")
    return Packing.TAR_GZIP if "gzip" in kind else Packing.TAR


def is_tar(media_type: str) -> bool:
    """Whether a layer of this type is an archive: OCI's and Docker's types, and that of tools that say no more."""
    return ".tar" in media_type or media_type.startswith(("application/x-tar", "application/tar"))


def _described(layers: Sequence[Descriptor]) -> str:
    names = [blob.title for blob in layers if blob.title]
    return (
        f"it has {', '.join(names)[:200]}" if names else f"it has {len(layers)} layers, none of them with files to read"
    )

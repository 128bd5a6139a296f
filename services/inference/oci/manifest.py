"""Manifests and indexes of the OCI image specification and of Docker's, as far as they are read. Pure."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Annotated, Final

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from services.inference.oci.errors import Hostile, OciError
from services.inference.oci.reference import is_digest

OCI_MANIFEST: Final = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX: Final = "application/vnd.oci.image.index.v1+json"
OCI_CONFIG: Final = "application/vnd.oci.image.config.v1+json"
OCI_TAR: Final = "application/vnd.oci.image.layer.v1.tar"
OCI_EMPTY: Final = "application/vnd.oci.empty.v1+json"
DOCKER_MANIFEST: Final = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_INDEX: Final = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_CONFIG: Final = "application/vnd.docker.container.image.v1+json"
ACCEPTED: Final = (OCI_MANIFEST, OCI_INDEX, DOCKER_MANIFEST, DOCKER_INDEX)

TITLE: Final = "org.opencontainers.image.title"
FILE_PATH: Final = "org.cncf.model.filepath"
"""Annotations of a layer that is one file: that file's name. The second is the model specification's of the CNCF."""
UNPACK: Final = "io.deis.oras.content.unpack"
"""Says "true" of a layer that ORAS has packed a folder into."""
_MOST_LAYERS: Final = 4096


def _checked(digest: str) -> str:
    if not is_digest(digest):
        raise ValueError("it is no sha256 or sha512 digest")
    return digest


class _Document(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True)


class Platform(_Document):
    """What machine an image of an index is for."""

    architecture: str = ""
    os: str = ""


class Descriptor(_Document):
    """A blob or manifest: its digest, its size in bytes, and what it is."""

    media_type: str = Field(alias="mediaType", max_length=255)
    digest: Annotated[str, AfterValidator(_checked)]
    size: int = Field(ge=0, lt=2**63)
    annotations: dict[str, str] | None = None
    platform: Platform | None = None

    @property
    def title(self) -> str | None:
        """The name of the file that the layer is, if it says one."""
        notes = self.annotations or {}
        return notes.get(TITLE) or notes.get(FILE_PATH)

    @property
    def hex(self) -> str:
        """The digest's digits."""
        return self.digest.partition(":")[2]


class Manifest(_Document):
    """One image or artifact."""

    config: Descriptor
    layers: tuple[Descriptor, ...] = Field(default=(), max_length=_MOST_LAYERS)
    artifact_type: str | None = Field(default=None, alias="artifactType")
    annotations: dict[str, str] | None = None

    @property
    def is_image(self) -> bool:
        """Whether it is a container image, whose layers are the files of a whole system."""
        return self.config.media_type in (OCI_CONFIG, DOCKER_CONFIG)


class Index(_Document):
    """Several manifests under one name, mostly one for each kind of machine."""

    manifests: tuple[Descriptor, ...] = Field(max_length=_MOST_LAYERS)


def read_manifest(content: bytes, where: str) -> Manifest | Index:
    """Read what a registry sent as manifest. Raises Hostile if it is none, OciError if it is of a kind unknown here."""
    try:
        document: object = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise Hostile(f"{where}: the manifest is not JSON.") from error
    if not isinstance(document, dict):
        raise Hostile(f"{where}: the manifest is no JSON object.")
    if document.get("schemaVersion") == 1:
        raise OciError(f"{where} is an image of Docker's first format, which is not read. Push it with a newer tool.")
    try:
        kind: type[Index | Manifest] = Index if "manifests" in document else Manifest
        return kind.model_validate(document)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise Hostile(f"{where}: the manifest cannot be read: {place[:100]}: {first['msg'][:200]}.") from error


def choose_manifest(manifests: Sequence[Descriptor], where: str) -> Descriptor:
    """The manifest of an index for linux/amd64, or the only one there is. Raises OciError."""
    real = [entry for entry in manifests if entry.media_type in ACCEPTED]
    for entry in real:
        if entry.platform and (entry.platform.os, entry.platform.architecture) == ("linux", "amd64"):
            return entry
    # Tools that build images add entries of platform unknown/unknown, which say where an image came from.
    known = [entry for entry in real if not entry.platform or entry.platform.os != "unknown"]
    if len(known) == 1:
        return known[0]
    named = sorted({f"{e.platform.os}/{e.platform.architecture}" for e in known if e.platform})
    others = ", ".join(named)[:200] or "none that is marked with a machine"
    raise OciError(f"{where} has no image for linux/amd64; it has {others}.")

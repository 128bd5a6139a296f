"""Where a model's files come from, when not from the Hugging Face hub, as a Workspace says it. Pure.

KAITO's own fields come first: `presetOptions.image` with `imagePullSecrets`, and the annotation
`kaito.sh/use-local-weights`. For all else there is the annotation `kaito.sh/model-source`, a URI.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import PurePosixPath

from services.contracts.base import Contract
from services.contracts.workspace import Preset, Schemaless

ANNOTATION_MODEL_SOURCE = "kaito.sh/model-source"
"""`oci://REFERENCE`, `pvc://CLAIM` or `pvc://CLAIM/FOLDER`, or `node:///opt/kaito/models/FOLDER`."""
ANNOTATION_LOCAL_WEIGHTS = "kaito.sh/use-local-weights"
NODE_MODELS = "/opt/kaito/models"
"""The folder of a node that may hold models, as in KAITO. Others of the node's folders are nobody's business."""

_PART = r"[A-Za-z0-9]+([._-]+[A-Za-z0-9]+)*"
_IMAGE = re.compile(
    rf"(({_PART}|\[[0-9A-Fa-f:.]+\])(:[0-9]{{1,5}})?/)?{_PART}(/{_PART})*"
    r"(:[A-Za-z0-9_][A-Za-z0-9._-]{0,127})?(@sha(256|512):[0-9a-f]{64,128})?"
)
"""A registry's host, folders, tag and digest. Which letters a repository may have is left to its registry."""
_LABEL = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")
_PATH = re.compile(r"[^\0\\\s]{0,1024}")


class ModelSource(Contract):
    """Where the files of a model are: exactly one of image, volume and folder.

    `volume` is a Kubernetes VolumeSource, `path` a folder in it; `folder` a folder of the node.
    """

    image: str | None = None
    pull_secrets: tuple[str, ...] = ()
    volume: Schemaless | None = None
    path: str = ""
    folder: str | None = None

    @property
    def words(self) -> str:
        """For a person."""
        if self.image:
            return f"the image {self.image}"
        return f"the node's folder {self.folder}" if self.folder else "a volume"


class BadSource(Exception):
    """What the Workspace says cannot be meant; the message says what to change."""


def named_source(preset: Preset, annotations: Mapping[str, str]) -> ModelSource | None:
    """The source that a Workspace names; None where it names none. Raises BadSource."""
    options = preset.preset_options
    image, secrets = (options.image, options.image_pull_secrets or ()) if options else (None, ())
    uri = annotations.get(ANNOTATION_MODEL_SOURCE)
    if image and uri:
        raise BadSource(
            f"presetOptions.image and the annotation {ANNOTATION_MODEL_SOURCE} both say where the model's files come "
            "from: keep one of them."
        )
    if image:
        return image_source(image, secrets, "presetOptions.image")
    return _from_uri(uri, secrets) if uri else None


def wants_local_weights(annotations: Mapping[str, str]) -> bool:
    """Whether the model is on the nodes, in KAITO's folder for it. Raises BadSource."""
    value = annotations.get(ANNOTATION_LOCAL_WEIGHTS, "false").lower()
    if value not in ("true", "false"):
        raise BadSource(f"Annotation {ANNOTATION_LOCAL_WEIGHTS} must be true or false; it is {value[:100]!r}.")
    return value == "true"


def local_weights(model: str) -> ModelSource:
    """KAITO's folder on a node for a model of the hub."""
    name = model.lower().replace("/", "-").replace("\\", "-")
    return ModelSource(folder=f"{NODE_MODELS}/{name}")


def _from_uri(uri: str, secrets: tuple[str, ...]) -> ModelSource:
    scheme, found, rest = uri.partition("://")
    if found and scheme == "oci":
        return image_source(rest, secrets, f"The annotation {ANNOTATION_MODEL_SOURCE}")
    if found and scheme == "pvc":
        return _claim(uri, rest)
    if found and scheme == "node":
        return _folder(uri, rest)
    raise BadSource(
        f"Annotation {ANNOTATION_MODEL_SOURCE} is {uri[:200]!r}; it must be oci://REFERENCE, pvc://CLAIM/FOLDER or "
        f"node://{NODE_MODELS}/FOLDER. Without it the model comes from the Hugging Face hub."
    )


def image_source(text: str, secrets: tuple[str, ...], where: str) -> ModelSource:
    """An image by its reference, as the field `where` names it. Raises BadSource."""
    if len(text) > 512 or not _IMAGE.fullmatch(text):
        raise BadSource(
            f"{where} is {text[:200]!r}, which is no reference to an image. An example: "
            "registry.example.com/team/model:v1."
        )
    return ModelSource(image=text, pull_secrets=secrets)


def _claim(uri: str, rest: str) -> ModelSource:
    claim, _, path = rest.partition("/")
    if not _LABEL.fullmatch(claim) or not _is_inside(path):
        raise BadSource(
            f"Annotation {ANNOTATION_MODEL_SOURCE} is {uri[:200]!r}: after pvc:// come the name of a "
            "PersistentVolumeClaim and, if you like, a folder in it."
        )
    return ModelSource(volume={"persistentVolumeClaim": {"claimName": claim, "readOnly": True}}, path=path.strip("/"))


def _folder(uri: str, path: str) -> ModelSource:
    if not _is_inside(path) or not PurePosixPath(path).is_relative_to(NODE_MODELS) or path.rstrip("/") == NODE_MODELS:
        raise BadSource(
            f"Annotation {ANNOTATION_MODEL_SOURCE} is {uri[:200]!r}: models on a node lie in folders of {NODE_MODELS}; "
            f"write node://{NODE_MODELS}/FOLDER."
        )
    return ModelSource(folder=path.rstrip("/"))


def _is_inside(path: str) -> bool:
    return _PATH.fullmatch(path) is not None and ".." not in path.split("/")

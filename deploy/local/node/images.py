"""Images without a container runtime: names in a file, each for programs that this machine has already."""

from __future__ import annotations

from pathlib import Path

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError


class ImageError(Exception):
    """An image that cannot be had; the message says which ones can, and in whose file."""


class Image(BaseModel):
    """What stands for an image: directories to find programs in, variables, and what runs when no command is given.

    Example of a file:

        test/shell: {path: [/usr/bin, /bin]}
        kaitobus/inference: {path: [/opt/engine/bin], env: {HF_HUB_OFFLINE: "1"}, command: [python, -m, server]}
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: tuple[str, ...] = ()
    env: dict[str, str] = {}
    command: tuple[str, ...] = ()


class Images:
    """The images of one file, which is read anew at every look, so that adding one helps pods that wait for it."""

    def __init__(self, file: Path | None) -> None:
        self._file = file

    def find(self, reference: str) -> Image:
        """The image of a reference: by the whole of it, else without its tag or digest. Raises ImageError."""
        known = self._read()
        image = known.get(reference) or known.get(untagged(reference))
        if image:
            return image
        names = ", ".join(sorted(known)) or "none"
        raise ImageError(
            f"image {reference!r} is not known on this node, which has no container runtime: it runs only the "
            f"images named in {self._file or 'a file given with --images'}. Known are: {names}"
        )

    def _read(self) -> dict[str, Image]:
        if self._file is None:
            return {}
        try:
            found: object = yaml.safe_load(self._file.read_text()) or {}
            if not isinstance(found, dict):
                raise ImageError(f"the images file {self._file} is not a map of image names")
            return {str(name): Image.model_validate(value or {}) for name, value in found.items()}
        except (OSError, yaml.YAMLError, ValidationError) as error:
            raise ImageError(f"the images file {self._file} cannot be read: {error}") from error


def untagged(reference: str) -> str:
    """An image reference without tag and digest. A port in the registry's name is not a tag."""
    name = reference.partition("@")[0]
    head, colon, tag = name.rpartition(":")
    return head if colon and "/" not in tag else name

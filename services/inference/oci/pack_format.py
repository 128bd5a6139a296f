"""How the files of a folder become layers."""

from __future__ import annotations

from enum import StrEnum


class Format(StrEnum):
    """An image, which clusters can mount; or an artifact of plain files, as ORAS makes them."""

    IMAGE = "image"
    ARTIFACT = "artifact"

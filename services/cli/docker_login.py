"""The credentials that Docker and its like keep for a person."""

from __future__ import annotations

import os
from pathlib import Path

from services.inference.oci.credentials import Credentials, find_credentials, read_config
from services.inference.oci.reference import Reference


def docker_credentials(reference: Reference) -> Credentials | None:
    """Those of `$DOCKER_CONFIG/config.json`, else `~/.docker/config.json`. Raises OciError if that cannot be read."""
    folder = Path(os.environ.get("DOCKER_CONFIG") or Path.home() / ".docker")
    file = folder / "config.json"
    return find_credentials([read_config(file)], reference) if file.is_file() else None

"""What a Workspace may be called. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator

LONGEST_NAME = 52
"""A StatefulSet puts its name, a dash and a hash of ten into a label of its pods; labels hold 63 characters."""
_NAME = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
"""A DNS-1035 label: what a Service may be called."""


def invalid_name(name: str) -> Iterator[str]:
    """Kubernetes takes longer names for a Workspace than for the StatefulSet and the Service it becomes."""
    if len(name) > LONGEST_NAME or not _NAME.fullmatch(name):
        yield (
            f"metadata.name must begin with a letter, have small letters, digits and dashes only, and at most "
            f"{LONGEST_NAME} characters: the StatefulSet and the Service are named after it. "
            "Create the Workspace under another name."
        )

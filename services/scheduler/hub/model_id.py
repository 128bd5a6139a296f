"""Ids of models on the Hugging Face hub: `organisation/model`. Pure."""

from __future__ import annotations

import re
from typing import Final

LONGEST: Final = 96
"""Characters of an id, by the hub's own rule."""
_PART: Final = r"[A-Za-z0-9_](?:[A-Za-z0-9._-]*[A-Za-z0-9_])?"
_ID: Final = re.compile(f"{_PART}/{_PART}")
_COMMIT: Final = re.compile(r"[0-9a-f]{40}")


def is_model_id(text: str) -> bool:
    """Whether the hub could have a model of that name.

    Its rule: two parts of letters, digits, dashes, dots and underscores; no part begins or ends with a dash or a
    dot, none has `--` or `..`, and none ends in `.git`.
    """
    if len(text) > LONGEST or "--" in text or ".." in text or text.endswith(".git"):
        return False
    return _ID.fullmatch(text) is not None


def is_commit(text: str) -> bool:
    """Whether a revision is a commit, which always means the same files, and not a branch or a tag."""
    return _COMMIT.fullmatch(text) is not None

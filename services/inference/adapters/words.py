"""What vLLM says when it does not load an adapter, without what it wraps around it. Pure."""

from __future__ import annotations

import re
from typing import Final

_CALL: Final = re.compile(r"^Call to \w+ method failed: ")
_WORKER: Final = re.compile(r"^Worker failed with error (?P<quote>['\"])(?P<words>.*)(?P=quote), please check .*$")


def engine_words(message: str) -> str:
    """The reason itself, on one line."""
    words = _CALL.sub("", " ".join(message.split()))
    found = _WORKER.match(words)
    return (found["words"] if found else words)[:600]

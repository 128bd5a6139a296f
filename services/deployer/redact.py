"""Takes out of a container's last words what must not travel: they go into messages, statuses and events. Pure."""

from __future__ import annotations

import re

_SECRETS = (
    re.compile(r"()\bhf_[A-Za-z0-9]{8,}"),
    re.compile(r"(?i)(\bbearer )[^\s'\"]+"),
    re.compile(r"(?i)((?:token|secret|passwd|password|api[_-]?key)[\"']?\s?[=:]\s*)[^\s'\",}]+"),
    re.compile(r"(://)[^/\s:@]+:[^/\s@]+(?=@)"),
)
"""Hugging Face tokens, bearer tokens, values named as secrets, and the user and password of an address."""


def redact(text: str) -> str:
    """The text with everything that looks like a credential replaced by ***."""
    for pattern in _SECRETS:
        text = pattern.sub(r"\1***", text)
    return text

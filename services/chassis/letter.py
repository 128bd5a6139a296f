"""What of a message goes into the dead letter queue: the reason always, the rest as far as it fits. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

TRUNCATED: Final = "Kaito-Truncated"
"""The header of a letter that is only a part of its message: how much of how much was kept."""
_ROOM_FOR_IT: Final = 200
"""Bytes that this header may take."""


def fitted(data: bytes, own: Mapping[str, str], why: Mapping[str, str], limit: int) -> tuple[bytes, dict[str, str]]:
    """A letter's body and headers, in at most `limit` bytes: the message as it came, else its beginning.

    `own` are the headers that it came with, which go first where there is no room; `why` says what is wrong with it,
    and must fit.
    """
    whole = {**own, **why}
    if len(data) + header_bytes(whole) <= limit:
        return data, whole
    kept, without = whole, ""
    if header_bytes(whole) + _ROOM_FOR_IT > limit:
        kept, without = dict(why), ", without its headers"
    body = data[: max(0, limit - _ROOM_FOR_IT - header_bytes(kept))]
    return body, {**kept, TRUNCATED: f"{len(body)} of {len(data)} bytes{without}"}


def header_bytes(headers: Mapping[str, str]) -> int:
    """How long headers are on the wire. NATS counts them against the same limit as the body."""
    lines = sum(len(name.encode()) + len(value.encode()) + 4 for name, value in headers.items())
    return len("NATS/1.0\r\n") + lines + len("\r\n")

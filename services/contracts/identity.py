"""Names that every process derives in the same way, without asking another.

One trace belongs to one generation of one workspace. Its id is a hash of both, so that a process which
lost the message headers still writes into the same trace, and so does one in another language.
"""

from __future__ import annotations

import hashlib


def trace_id(uid: str, generation: int) -> int:
    """The 128-bit trace id of a workspace's generation: the first 16 bytes of SHA-256("uid:generation")."""
    return int.from_bytes(_hash(f"{uid}:{generation}")[:16], "big") or 1


def root_span_id(uid: str, generation: int) -> int:
    """The 64-bit id of that trace's root span: bytes 16 to 24 of the same hash."""
    return int.from_bytes(_hash(f"{uid}:{generation}")[16:24], "big") or 1


def traceparent(uid: str, generation: int) -> str:
    """The W3C `traceparent` of the root span, marked as sampled."""
    return f"00-{trace_id(uid, generation):032x}-{root_span_id(uid, generation):016x}-01"


def short_uid(uid: str) -> str:
    """Ten hex digits that stand for a workspace in names that must be short, such as those of nodes."""
    return _hash(uid).hex()[:10]


def _hash(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()

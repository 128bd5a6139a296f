"""Drops messages from a stream that others are reading, and no other message with them.

By number, never by `STREAM.PURGE` with a subject: after such a purge nats-server (2.15.1) may take messages for
acknowledged that are with a process that was killed, whatever their subject, and then nobody gets them again.
"""

from __future__ import annotations

from nats.js import JetStreamContext
from nats.js.api import RawStreamMsg
from nats.js.errors import APIError, NotFoundError


async def drop(js: JetStreamContext, stream: str, subject: str, sequence: int) -> None:
    """Drop the newest message of a subject, known by its number. Nothing where it is not there any more.

    Raises what nats-py raises when the server is away or refuses.
    """
    try:
        await js.delete_msg(stream, sequence)
    except APIError:
        left = await _newest(js, stream, subject)
        if left is not None and left.seq == sequence:
            raise  # else somebody was faster, which the server tells only in words


async def drop_all(js: JetStreamContext, stream: str, subjects: str) -> None:
    """Drop the newest message of every subject that matches. Raises what nats-py raises."""
    info = await js.stream_info(stream, subjects_filter=subjects)
    for subject in info.state.subjects or {}:
        found = await _newest(js, stream, subject)
        if found is not None:
            await drop(js, stream, subject, int(found.seq or 0))


async def _newest(js: JetStreamContext, stream: str, subject: str) -> RawStreamMsg | None:
    try:
        return await js.get_last_msg(stream, subject)
    except NotFoundError:
        return None

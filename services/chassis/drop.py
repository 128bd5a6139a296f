"""Drops messages from a stream that others are reading, and no other message with them.

By number, never by `STREAM.PURGE` with a subject: after such a purge nats-server (2.15.1) may take messages for
acknowledged that are with a process that was killed, whatever their subject, and then nobody gets them again.
"""

from __future__ import annotations

from nats.js import JetStreamContext
from nats.js.api import RawStreamMsg
from nats.js.errors import APIError, NotFoundError


async def newest(js: JetStreamContext, stream: str, subject: str) -> RawStreamMsg | None:
    """The newest message of a subject, by the stream's leader; `*` and `>` may stand in the subject."""
    try:
        return await js.get_last_msg(stream, subject)
    except NotFoundError:
        return None


async def drop(js: JetStreamContext, stream: str, subject: str, sequence: int) -> None:
    """Drop the message of that number, the newest of its subject. Nothing where it is not there any more.

    Raises what nats-py raises when the server is away or refuses.
    """
    try:
        await js.delete_msg(stream, sequence)
    except APIError:
        left = await newest(js, stream, subject)
        if left is not None and left.seq == sequence:
            raise  # else somebody was faster, for which the server has more than one error


async def drop_all(js: JetStreamContext, stream: str, subjects: str) -> None:
    """Drop the messages of all subjects that match, the newest first. Raises what nats-py raises."""
    while (found := await newest(js, stream, subjects)) is not None:
        await drop(js, stream, str(found.subject), int(found.seq or 0))

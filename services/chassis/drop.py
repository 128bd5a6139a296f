"""Drops messages from a stream that others are reading, and no other message with them.

By number, never by `STREAM.PURGE` with a subject: after such a purge nats-server (2.15.1) may take messages for
acknowledged that are with a process that was killed, whatever their subject, and then nobody gets them again.
"""

from __future__ import annotations

from nats.aio.client import Client
from nats.js.api import RawStreamMsg
from nats.js.errors import APIError, NotFoundError

from services.chassis.bus_connection import TIMEOUT
from services.chassis.jetstream_api import ask


async def newest(client: Client, stream: str, subject: str) -> RawStreamMsg | None:
    """The newest message of a subject, by the stream's leader; `*` and `>` may stand in the subject."""
    try:
        return await client.jetstream(timeout=TIMEOUT).get_last_msg(stream, subject)
    except NotFoundError:
        return None


async def drop(client: Client, stream: str, subject: str, sequence: int) -> None:
    """Drop the message of that number, the newest of its subject. Nothing where it is not there any more.

    Raises what nats-py raises when the server is away or refuses.
    """
    try:
        # Without writing over it, which nats-py cannot ask for: to do so waits for the disk, 18 ms instead of 1.
        await ask(client, f"STREAM.MSG.DELETE.{stream}", seq=sequence, no_erase=True)
    except APIError:
        left = await newest(client, stream, subject)
        if left is not None and left.seq == sequence:
            raise  # else somebody was faster, for which the server has more than one error


async def drop_all(client: Client, stream: str, subjects: str) -> None:
    """Drop the messages of all subjects that match, the newest first. Raises what nats-py raises."""
    while (found := await newest(client, stream, subjects)) is not None:
        await drop(client, stream, str(found.subject), int(found.seq or 0))

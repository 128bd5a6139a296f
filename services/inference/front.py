"""Answers on the server's port from the first second, until the app takes it over, be it vLLM's or the other runtime's.

`/health` says 503 and how far the start has come, `/metrics` the same in numbers, everything else 503 and when to come
back. The listening socket stays the same all the time: the front only ceases to accept from it, so that whoever comes
between waits in the kernel's queue and is answered by the app. A thread of its own, because imports and the start of
the engine hold up the main one; the standard library alone, because imports are what it must not wait for.
"""

import asyncio
import json
import os
import socket
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager

from services.inference.files import model_files
from services.inference.flags import flag
from services.inference.heard import Heard
from services.inference.phases import Phases
from services.inference.progress import Progress, look

DEFAULT_PORT = 8000
"""vLLM's own."""
RETRY_AFTER_S = 10
READ_S = 5.0
PAUSE_S = 1.0
"""When nobody can be accepted, since all descriptors are in use: to look again at once would take a whole CPU."""
LARGEST_HEAD = 65_536
BACKLOG = 2048
"""uvicorn's own: connections that the kernel keeps until somebody accepts them."""

NOT_OURS = ("uds", "config", "headless", "ssl-keyfile", "ssl-certfile")
"""Flags that put the server elsewhere or behind TLS: then the port is vLLM's from the start, and opens late."""


def listen(argv: Sequence[str]) -> socket.socket | None:
    """Return a socket that listens where the flags say, None where that is left to vLLM.

    Raises OSError if the port cannot be had, ValueError if it is no number.
    """
    if any(flag(argv, name) is not None for name in NOT_OURS):
        return None
    host, port = flag(argv, "host") or "", int(flag(argv, "port") or DEFAULT_PORT)
    sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind((host, port))
        sock.listen(BACKLOG)
    except OSError:
        sock.close()
        raise
    return sock


class Front:
    """Answers on a listening socket until it is stopped; the socket stays open."""

    def __init__(self, sock: socket.socket, look: Callable[[], Progress]) -> None:
        self.sock = sock
        self._look = look
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self._accepting = threading.Event()
        self._ceased = threading.Event()
        self._busy: set[asyncio.Task[None]] = set()
        self._thread = threading.Thread(target=self._run, name="front", daemon=True)

    def start(self) -> None:
        """Begin to answer; returns when that is so."""
        self._thread.start()
        self._accepting.wait(READ_S)

    def stop(self) -> None:
        """Cease to accept; returns when that is so. Who was accepted before is still answered."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop.set)
            self._ceased.wait(READ_S)

    def _run(self) -> None:
        try:
            self._loop.run_until_complete(self._serve())
        finally:
            self._ceased.set()
            self._loop.close()

    async def _serve(self) -> None:
        sock = self.sock.dup()  # what is closed is the copy only
        sock.setblocking(False)
        self._accept(sock)
        self._accepting.set()
        await self._stop.wait()
        self._loop.remove_reader(sock)
        sock.close()
        self._ceased.set()
        while self._busy:
            await asyncio.wait(self._busy)

    def _take(self, sock: socket.socket) -> None:
        """Accept one, who is answered from here on: asyncio's own server drops whom it accepts as it is closed."""
        try:
            connection = sock.accept()[0]
        except (BlockingIOError, ConnectionAbortedError):  # gone again
            return
        except OSError:
            self._loop.remove_reader(sock)
            self._loop.call_later(PAUSE_S, self._accept, sock)
            return
        task = self._loop.create_task(self._answer(connection))
        self._busy.add(task)
        task.add_done_callback(self._busy.discard)

    def _accept(self, sock: socket.socket) -> None:
        if not self._stop.is_set():
            self._loop.add_reader(sock, self._take, sock)

    async def _answer(self, connection: socket.socket) -> None:
        try:
            reader, writer = await asyncio.open_connection(sock=connection, limit=LARGEST_HEAD)
        except OSError:  # gone again
            connection.close()
            return
        try:
            async with asyncio.timeout(READ_S):
                head = await reader.readuntil(b"\r\n\r\n")
            writer.write(await asyncio.to_thread(self._reply, head))
            writer.write_eof()
            async with asyncio.timeout(READ_S):  # a body that is not read would make the kernel drop the answer
                while await reader.read(LARGEST_HEAD):
                    pass
        except (TimeoutError, OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass  # whoever asked has gone, or did not ask in HTTP
        finally:
            writer.close()

    def _reply(self, head: bytes) -> bytes:
        method, _, rest = head.partition(b" ")
        path = rest.split(b" ", 1)[0].split(b"?", 1)[0].decode(errors="replace")
        return reply(path, self._look(), body=method != b"HEAD")


@contextmanager
def answering(
    argv: Sequence[str], phases: Phases, steps: Callable[[], Iterable[Heard]] = tuple
) -> Iterator[Front | None]:
    """Answer on the server's port until the server does; None where the port is left to the server itself.

    `steps` tells how far the engine's processes have come. Raises as `listen`.
    """
    sock = listen(argv)
    if sock is None:
        yield None
        return
    files = model_files(argv, os.environ)
    front = Front(sock, lambda: look(files, phases.current, steps, phases.elapsed_s))
    front.start()
    try:
        yield front
    finally:
        front.stop()
        sock.close()


def reply(path: str, progress: Progress, *, body: bool = True) -> bytes:
    """Return the whole HTTP response for a path."""
    if path == "/metrics":
        return _http("200 OK", "text/plain; version=0.0.4; charset=utf-8", progress.metrics(), body)
    if path in ("/health", "/ping"):
        return _http("503 Service Unavailable", "application/json", json.dumps(progress.body()), body)
    error = {"message": progress.message, "type": "Service Unavailable", "param": None, "code": 503}
    return _http("503 Service Unavailable", "application/json", json.dumps({"error": error}), body)


def _http(status: str, kind: str, text: str, with_body: bool) -> bytes:
    data = text.encode()
    head = [f"HTTP/1.1 {status}", f"Content-Type: {kind}", f"Content-Length: {len(data)}", "Connection: close"]
    if status.startswith("503"):
        head.append(f"Retry-After: {RETRY_AFTER_S}")
    return "\r\n".join([*head, "", ""]).encode() + (data if with_body else b"")

"""The middleware before vLLM's app: asks for the key, keeps the queue to its bound, refuses while the server ends.

Plain ASGI, so that streams pass through untouched. A request with the benchmark's own mark passes uncounted.
"""

import hashlib
import json
import secrets
from collections.abc import Awaitable, Callable, Iterable, MutableMapping, Sequence
from typing import Any

from services.inference.door import OPEN, Door, Refusal, generates

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

MARK = "x-kaitobus-benchmark"
UNAUTHORIZED = Refusal(401, "Unauthorized", "This server wants 'Authorization: Bearer KEY' with its key.", 0)


class Gate:
    """Stands before `app`. `keys` are those that open it, none for everybody; `mark` is the benchmark's secret."""

    def __init__(self, app: App, door: Door, keys: Sequence[str], mark: str) -> None:
        self._app = app
        self._door = door
        self._keys = [_digest(key) for key in keys]
        self._mark = _digest(mark)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request in, or say why not."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        method, path = scope.get("method", "GET"), scope["path"].removeprefix(scope.get("root_path", ""))
        refusal = self._locked(scope, method, path)
        own = self._is_own(scope)
        if refusal is None and not (own and not self._door.ending):
            refusal = self._door.refusal(method, path)
        if refusal is not None:
            await _refuse(refusal, scope, send)
            return
        if own or not generates(method, path):
            await self._app(scope, receive, send)
            return
        self._door.enter()
        try:
            await self._app(scope, receive, send)
        finally:
            self._door.leave()

    def _locked(self, scope: Scope, method: str, path: str) -> Refusal | None:
        """Return the refusal of one who has no key, where one is needed. Browsers ask OPTIONS without."""
        if not self._keys or method == "OPTIONS" or (method == "GET" and path in OPEN):
            return None
        scheme, _, key = _header(scope, "authorization").partition(" ")
        matches = [secrets.compare_digest(_digest(key), known) for known in self._keys]  # every one, in constant time
        return None if scheme.lower() == "bearer" and any(matches) else UNAUTHORIZED

    def _is_own(self, scope: Scope) -> bool:
        mark = _header(scope, MARK)
        return bool(mark) and secrets.compare_digest(_digest(mark), self._mark)


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


def _header(scope: Scope, name: str) -> str:
    headers: Iterable[tuple[bytes, bytes]] = scope.get("headers", ())
    return next((value.decode("latin-1") for key, value in headers if key == name.encode()), "")


async def _refuse(refusal: Refusal, scope: Scope, send: Send) -> None:
    """Answer with an error as OpenAI's interface writes it. A web socket is closed before it opens."""
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1013, "reason": refusal.message[:120]})
        return
    error = {"message": refusal.message, "type": refusal.kind, "param": None, "code": refusal.status}
    data = json.dumps({"error": error}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(data)).encode())]
    if refusal.retry_after_s:
        headers.append((b"retry-after", str(refusal.retry_after_s).encode()))
    if refusal.close:
        headers.append((b"connection", b"close"))
    await send({"type": "http.response.start", "status": refusal.status, "headers": headers})
    await send({"type": "http.response.body", "body": data})

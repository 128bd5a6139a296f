"""The middleware before the app: asks for the key, keeps the queue to its bound, refuses while the server ends.

Plain ASGI, so that streams pass through untouched. vLLM makes it by its flag `--middleware`, so what it needs to know
is in the app's state. The transformers runtime has it, too.
"""

import hashlib
import json
import secrets
from collections.abc import Awaitable, Callable, Iterable, MutableMapping, Sequence
from dataclasses import dataclass
from typing import Any

from services.inference.door import OPEN, Door, Refusal, generates

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

GATE = f"{__name__}.Gate"
OWN = "x-kaitobus-benchmark"
"""The header by which the server knows its own requests."""
STATE = "kaitobus_entrance"
"""Where the app's state has the `Entrance`."""
UNAUTHORIZED = Refusal(401, "Unauthorized", "This server wants 'Authorization: Bearer KEY' with its key.", 0)


@dataclass(frozen=True)
class Entrance:
    """The door, and the digests of the keys that open it; none for everybody."""

    door: Door
    digests: tuple[bytes, ...] = ()


def entrance(door: Door, keys: Sequence[str]) -> Entrance:
    """Return the entrance for these keys, of which only digests are kept."""
    return Entrance(door, tuple(_digest(key) for key in keys))


class Gate:
    """Stands before `app`."""

    def __init__(self, app: App) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request in, or say why not."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        here: Entrance = getattr(scope["app"].state, STATE)
        method = scope.get("method", "POST")  # a web socket has none, and gives work
        path = scope["path"].removeprefix(scope.get("root_path", ""))
        own = secrets.compare_digest(_header(scope, OWN).encode(), here.door.mark.encode())
        refusal = _locked(here, scope, method, path) or (
            here.door.own_refusal() if own else here.door.refusal(method, path)
        )
        if refusal is not None:
            await _refuse(refusal, scope, send)
        elif own or not generates(method, path):
            await self._app(scope, receive, send)
        else:
            await self._counted(here.door, scope, receive, send)

    async def _counted(self, door: Door, scope: Scope, receive: Receive, send: Send) -> None:
        door.enter()
        try:
            await self._app(scope, receive, send)
        finally:
            door.leave()


def _locked(here: Entrance, scope: Scope, method: str, path: str) -> Refusal | None:
    """Return the refusal of one who has no key, where one is needed. Browsers ask OPTIONS without.

    The key may also come as `X-API-Key`: Kubernetes' API server, through which `kaitobus chat` may have to go, keeps
    the other header for itself. vLLM inside is handed it as it wants it.
    """
    if not here.digests or method == "OPTIONS" or (method == "GET" and path in OPEN):
        return None
    scheme, _, key = _header(scope, "authorization").partition(" ")
    if scheme.lower() != "bearer":
        key = _header(scope, "x-api-key")
        others = [(name, value) for name, value in scope["headers"] if name != b"authorization"]
        scope["headers"] = [*others, (b"authorization", f"Bearer {key}".encode("latin-1"))]
    matches = [secrets.compare_digest(_digest(key), known) for known in here.digests]  # every one, in constant time
    return None if any(matches) else UNAUTHORIZED


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

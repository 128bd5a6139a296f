"""Who may come in: how many requests are in the server, and whether it takes new ones. Pure, but for an event.

Requests that generate are counted, from their first byte to the last one of their answer; whatever else is asked costs
the engine nothing.
"""

import asyncio
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass

LIMIT_ENV = "KAITOBUS_MAX_REQUESTS"
GENERATES = frozenset(
    {
        "/chat",
        "/classify",
        "/cohere/v2/chat",
        "/generative_scoring",
        "/inference/v1/generate",
        "/invocations",
        "/pooling",
        "/rerank",
        "/score",
        "/v1/audio/transcriptions",
        "/v1/audio/translations",
        "/v1/chat/completions",
        "/v1/chat/completions/batch",
        "/v1/completions",
        "/v1/embeddings",
        "/v1/messages",
        "/v1/realtime",
        "/v1/rerank",
        "/v1/responses",
        "/v1/score",
        "/v1/systemone",
        "/v2/embed",
        "/v2/rerank",
    }
)
"""Paths of vLLM and ours whose POST gives the engine work."""
OPEN = frozenset({"/adapters", "/health", "/ping", "/metrics", "/kaitobus/benchmark", "/kaitobus/memory"})
"""Paths that are read without a key, and while the server ends: probes, figures."""

TURNED_AWAY_S = 5
"""When a client that found the queue full should come again: about as long as a short answer takes."""
ENDING_S = 10
"""When a client that found this server ending should come again: another one may serve by then."""


@dataclass(frozen=True)
class Refusal:
    """Why a request is not let in."""

    status: int
    kind: str
    message: str
    retry_after_s: int
    close: bool = False


class Door:
    """Counts who is inside. `limit` is how many may be, running and waiting together.

    The server's own requests, which its benchmark sends, come with `mark`. They are not counted, and go before others.
    """

    def __init__(self, limit: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.limit = limit
        self.inside = 0
        self.ending = False
        self.empty = asyncio.Event()
        self.empty.set()
        self.mark = secrets.token_hex(16)
        self.somebody_came: Callable[[], None] | None = None
        """Called before somebody is let in, and when the server ends: whoever makes own requests ends them."""
        self._clock = clock
        self._left_at = clock()

    def refusal(self, method: str, path: str) -> Refusal | None:
        """Return why a request is not let in; None if it is."""
        if self.ending and not (method == "GET" and path in OPEN - {"/health", "/ping"}):
            text = f"This server is ending: {self.inside} requests are still answered, new ones go elsewhere."
            return Refusal(503, "Service Unavailable", text, ENDING_S, close=True)
        if generates(method, path) and self.inside >= self.limit:
            text = (
                f"The queue is full: {self.inside} requests are in this server, and {self.limit} may be. "
                f"Try again in {TURNED_AWAY_S} s, or have the limit raised."
            )
            return Refusal(429, "Too Many Requests", text, TURNED_AWAY_S)
        return None

    def own_refusal(self) -> Refusal | None:
        """Return why a request of the server's own is not let in: somebody else is here; None if it is."""
        if self.ending or self.inside:
            return Refusal(503, "Service Unavailable", "Somebody else is in this server.", ENDING_S, close=True)
        return None

    def enter(self) -> None:
        """Count one who comes in."""
        self.inside += 1
        self.empty.clear()
        self._call()

    def leave(self) -> None:
        """Count one who goes."""
        self.inside -= 1
        self._left_at = self._clock()
        if not self.inside:
            self.empty.set()

    def end(self) -> None:
        """Let nobody in from now on."""
        self.ending = True
        self._call()

    def quiet_s(self) -> float:
        """Return for how many seconds nobody has been here; 0 while somebody is, or while the server ends."""
        return 0.0 if self.inside or self.ending else self._clock() - self._left_at

    def _call(self) -> None:
        if self.somebody_came:
            self.somebody_came()


def generates(method: str, path: str) -> bool:
    """Tell whether a request gives the engine work."""
    return method == "POST" and path in GENERATES


def limit_of(wanted: str | None, at_once: int) -> int:
    """Return how many requests may be in the server: what is wanted, or twice of what the engine runs at once.

    So that, by default, as many may wait as run, and who waits is served after about one answer. Raises ValueError.
    """
    if not wanted:
        return 2 * at_once
    if not wanted.isdecimal() or int(wanted) < 1:
        raise ValueError(f"{LIMIT_ENV} must be a number from 1 on; it is {wanted[:50]!r}")
    return int(wanted)

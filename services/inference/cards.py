"""Adds to each model of `GET /v1/models` what Kaito Bus knows of it, beside vLLM's own fields."""

import json
from collections.abc import Mapping
from contextlib import suppress

from services.inference.gate import App, Receive, Scope, Send

CARDS = f"{__name__}.Cards"
FIELD = "kaitobus"
STATE = "kaitobus_about"
"""Where the app's state has what is told."""
ABOUT_ENV = {
    "model": "KAITOBUS_MODEL",
    "revision": "KAITOBUS_MODEL_REVISION",
    "workspace": "KAITOBUS_WORKSPACE",
    "generation": "KAITOBUS_GENERATION",
    "instance_type": "KAITOBUS_INSTANCE_TYPE",
}
"""What the deployer tells of the plan, by the name in the card."""
PATH = "/v1/models"


class Cards:
    """Middleware that adds the field to the cards. Other answers pass through untouched."""

    def __init__(self, app: App) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Collect the one answer, which is small, and send it with the field."""
        wanted = scope["type"] == "http" and scope["path"].removeprefix(scope.get("root_path", "")) == PATH
        if not wanted or scope["method"] != "GET":
            await self._app(scope, receive, send)
            return
        about: Mapping[str, object] = getattr(scope["app"].state, STATE)
        start: dict[str, object] = {}
        parts: list[bytes] = []

        async def collect(message: object) -> None:
            assert isinstance(message, dict)
            if message["type"] == "http.response.start":
                start.update(message)
                return
            parts.append(message.get("body", b""))
            if not message.get("more_body"):
                body = with_about(b"".join(parts), about)
                await send(start | {"headers": _with_length(start["headers"], len(body))})
                await send({"type": "http.response.body", "body": body})

        await self._app(scope, receive, collect)


def about_model(revision: str | None, environ: Mapping[str, str]) -> dict[str, object]:
    """Return what is known of the model that is served; a fact that nobody told is left out."""
    told = {name: environ.get(variable) for name, variable in ABOUT_ENV.items()}
    told["revision"] = told["revision"] or revision
    return {name: value for name, value in told.items() if value}


def with_about(body: bytes, about: Mapping[str, object]) -> bytes:
    """Return the list of models with the field in each card; anything else as it is."""
    with suppress(ValueError, TypeError, KeyError, AttributeError):
        listed = json.loads(body)
        for card in listed["data"]:
            card[FIELD] = dict(about)
        return json.dumps(listed).encode()
    return body


def _with_length(headers: object, length: int) -> list[tuple[bytes, bytes]]:
    assert isinstance(headers, list)
    kept = [(key, value) for key, value in headers if key.lower() != b"content-length"]
    return [*kept, (b"content-length", str(length).encode())]

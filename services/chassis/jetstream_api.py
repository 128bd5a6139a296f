"""What of JetStream's API nats-py does not offer: a request, and the whole answer."""

from __future__ import annotations

import json

from nats.aio.client import Client
from nats.js.errors import APIError

from services.chassis.bus_connection import TIMEOUT


async def ask(client: Client, call: str, **wanted: object) -> dict[str, object]:
    """Call such as `STREAM.INFO.name`. Raises APIError where the server refuses, and what nats-py raises."""
    answer = await client.request(f"$JS.API.{call}", json.dumps(wanted).encode() if wanted else b"", timeout=TIMEOUT)
    told: dict[str, object] = json.loads(answer.data)
    if "error" in told:
        raise APIError.from_error(told["error"])
    return told

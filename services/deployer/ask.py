"""Asks the server in a pod, which answers in its own time or not at all."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import Final

import aiohttp
from pydantic import TypeAdapter, ValidationError

from services.deployer.command import PORT
from services.deployer.pods import Pod

log = logging.getLogger(__name__)

TIMEOUT: Final = 2.0
LARGEST: Final = 65_536
LOCAL_PORTS: Final = "local.kaito.sh/ports"
"""Annotation of the node agent of one machine, where pods share the machine's address: container port to real port."""

_PORTS: Final = TypeAdapter(dict[str, int])


async def ask_pod(pod: Pod, path: str, *, local: bool) -> bytes | None:
    """The first bytes of what the pod answers. None if it does not: an older image, or out of reach."""
    address = address_of(pod, local=local)
    if address is None:
        return None
    try:
        async with (
            asyncio.timeout(TIMEOUT),
            aiohttp.ClientSession() as session,
            session.get(f"http://{address}{path}", allow_redirects=False) as response,
        ):
            response.raise_for_status()
            return await _read(response)
    except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
        log.info("pod %s does not answer %s: %s", pod.metadata.name, path, error or type(error).__name__)
        return None


async def _read(response: aiohttp.ClientResponse) -> bytes:
    """The body up to LARGEST; a single `read` may return less than has been sent."""
    body = b""
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) >= LARGEST:
            break
    return body[:LARGEST]


def address_of(pod: Pod, *, local: bool) -> str | None:
    """Host and port at which the pod's server answers; None where that is not known (yet)."""
    if local:
        port = _real_port(pod.metadata.annotations)
        return f"127.0.0.1:{port}" if port else None
    address = pod.status.pod_ip
    if not address:
        return None
    return f"[{address}]:{PORT}" if ":" in address else f"{address}:{PORT}"


def _real_port(annotations: Mapping[str, str]) -> int | None:
    try:
        return _PORTS.validate_json(annotations.get(LOCAL_PORTS, "{}")).get(str(PORT))
    except ValidationError:
        return None

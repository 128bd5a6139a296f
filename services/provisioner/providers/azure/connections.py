"""Connections to Azure that are kept, with authorities that are read once."""

from __future__ import annotations

import ssl
from typing import TypeVar

import aiohttp
from azure.core.pipeline.transport import AioHttpTransport

from services.provisioner.providers.azure.settings import AzureSettings

T = TypeVar("T", bound=AioHttpTransport)


def transport(settings: AzureSettings, kind: type[T] = AioHttpTransport) -> T:
    """Given a file of authorities, the SDK itself reads it for each call, and then connects anew."""
    session = aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(ssl=ssl.create_default_context(cafile=settings.ca_file)),
        cookie_jar=aiohttp.DummyCookieJar(),
        trust_env=True,
        auto_decompress=False,  # azure-core does it
    )
    found: T = kind(session=session, connection_timeout=settings.call_seconds, read_timeout=settings.call_seconds)
    return found

"""Asks a hub over HTTP: bounded in time, in size and in how much at once. The token never leaves for another host."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import Final, NamedTuple, Self
from urllib.parse import quote

import aiohttp
from pydantic import SecretStr
from yarl import URL

from services.scheduler.hub.errors import HubError, refused, unavailable, unusable
from services.scheduler.hub.redirects import Endpoint, follow
from services.scheduler.hub.repository import Repository, read_repository

AT_ONCE: Final = 8
"""Requests that are under way at the same time, for all models together."""
TRIES: Final = 2
"""A connection that breaks is tried once more at once; all else is left to whoever asked."""
MOST_REDIRECTS: Final = 5
LARGEST_ANSWER: Final = 16 * 2**20
"""Bytes of the largest description of a repository that is read."""


class Limits(NamedTuple):
    """Seconds: for a connection to be made, and for one request with its answer."""

    connect: float = 5.0
    request: float = 20.0


class Place(NamedTuple):
    """A repository at a commit, and the token that opens it, if one is needed."""

    model: str
    revision: str
    token: SecretStr | None = None


class Part(NamedTuple):
    """The bytes that were asked for, and the size of the whole file, where the server told it."""

    body: bytearray
    file_size: int | None


class HubClient:
    """Calls one hub. Safe to share between tasks; close it, or use it as a context manager.

    Every method raises HubError, with a sentence for the person who named the model.
    """

    def __init__(self, endpoint: str, limits: Limits = Limits()) -> None:  # noqa: B008 - an immutable tuple
        self._endpoint = Endpoint(endpoint)
        self._limits = limits
        self._room = asyncio.Semaphore(AT_ONCE)
        self._session: aiohttp.ClientSession | None = None

    @property
    def address(self) -> str:
        """Where the hub is, in words."""
        return self._endpoint.shown

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.close()

    async def repository(self, model: str, revision: str | None, token: SecretStr | None) -> Repository:
        """What the hub says of a model at a revision; None is its main branch."""
        path = f"/api/models/{model}/revision/{quote(revision or 'main', safe='')}?blobs=true"
        got = await self._get(path, Place(model, revision or "main", token), {}, LARGEST_ANSWER)
        return await asyncio.to_thread(read_repository, got.body, model)

    async def file(self, place: Place, name: str, most: int) -> bytearray:
        """A whole file of at most `most` bytes. Raises FileMissing if there is none of that name."""
        return (await self._get(_path(place, name), place, {}, most)).body

    async def part(self, place: Place, name: str, first: int, length: int) -> Part:
        """`length` bytes of a file from byte `first` on; fewer where the file ends before."""
        asked = {"Range": f"bytes={first}-{first + length - 1}"}
        return await self._get(_path(place, name), place, asked, length)

    async def _get(self, path: str, place: Place, headers: Mapping[str, str], most: int) -> Part:
        async with self._room:
            for left in reversed(range(TRIES)):
                try:
                    async with asyncio.timeout(self._limits.request):
                        return await self._ask(path, place, headers, most)
                except TimeoutError as error:
                    raise self._silent() from error
                except (aiohttp.ClientError, OSError) as error:
                    if not left:
                        raise unavailable(self._endpoint.shown, _words(error)) from error
        raise AssertionError("unreachable: the last try returns or raises")

    async def _ask(self, path: str, place: Place, headers: Mapping[str, str], most: int) -> Part:
        """Ask, and follow redirects by hand: the hub hands files out from other hosts, which get no token."""
        url = self._endpoint.url(path)
        for _ in range(MOST_REDIRECTS + 1):
            async with self._open(url, place, headers) as response:
                if response.status in (301, 302, 303, 307, 308):
                    url = follow(self._endpoint, url, response.headers.get("Location"))
                    continue
                if response.status == 416 and "Range" in headers:
                    return Part(bytearray(), None)  # the file ends before
                if response.status >= 400:
                    hub, with_token = self._endpoint.shown, place.token is not None
                    raise refused(place.model, hub, response.status, response.headers, with_token=with_token)
                return await _read(response, headers, most, place.model)
        raise unavailable(self._endpoint.shown, "it redirects in a circle")

    def _open(
        self, url: URL, place: Place, headers: Mapping[str, str]
    ) -> AbstractAsyncContextManager[aiohttp.ClientResponse]:
        sent = {"Accept-Encoding": "identity", "User-Agent": "kaitobus", **headers}
        if place.token is not None and self._endpoint.owns(url):
            sent["Authorization"] = f"Bearer {place.token.get_secret_value()}"
        return self._connected().get(url, headers=sent, allow_redirects=False)

    def _connected(self) -> aiohttp.ClientSession:
        """The session, made in the loop in which it is used. A proxy is not asked for a hub on this machine."""
        if self._session is None:
            limits = aiohttp.ClientTimeout(total=None, sock_connect=self._limits.connect)
            self._session = aiohttp.ClientSession(
                timeout=limits,
                trust_env=not self._endpoint.loopback,
                cookie_jar=aiohttp.DummyCookieJar(),
                connector=aiohttp.TCPConnector(limit=AT_ONCE),
            )
        return self._session

    def _silent(self) -> HubError:
        return unavailable(self._endpoint.shown, f"it did not answer within {self._limits.request:g} s")


async def _read(response: aiohttp.ClientResponse, asked: Mapping[str, str], most: int, model: str) -> Part:
    """Read the body. A server that knows no ranges sends the whole file: then only what was asked for is read."""
    partial = "Range" in asked
    if partial and response.status != 206 and not asked["Range"].startswith("bytes=0-"):
        raise unusable(f"The hub does not hand out parts of the files of {model}, so its tensors cannot be read.")
    body = bytearray()
    async for chunk in response.content.iter_chunked(2**16):
        body += chunk
        if len(body) > most:
            break
    if len(body) > most and not partial:
        raise unusable(f"A file of {model} has more than {most} bytes, and so much of it is not read.")
    del body[most:]
    return Part(body, _file_size(response))


def _file_size(response: aiohttp.ClientResponse) -> int | None:
    """The size of the whole file: from Content-Range for a part (RFC 9110, 14.4), else from Content-Length."""
    text = response.headers.get("Content-Range", "").rpartition("/")[2]
    if response.status != 206:
        text = response.headers.get("Content-Length", "")
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 20 else None


def _path(place: Place, name: str) -> str:
    return f"/{place.model}/resolve/{place.revision}/{quote(name)}"


def _words(error: Exception) -> str:
    if isinstance(error, aiohttp.ClientConnectorError):
        return error.os_error.strerror or str(error.os_error)
    return str(error) or type(error).__name__

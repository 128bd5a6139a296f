"""Downloads files from http and https addresses into a folder, as the addresses of a Workspace ask.

A Workspace's author chooses the addresses, and the pod that fetches them is inside the cluster's network. So only
the public internet is connected to, unless the rules say more: what counts is the address that a connection is
really made to, at each redirect anew. No proxy is used, which would hide that address.
"""

from __future__ import annotations

import asyncio
import errno
import re
import shutil
import socket
import ssl
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import urljoin

import aiohttp
import yarl

from services.inference.url_file import Growing, Whole
from services.inference.url_rules import UrlError, UrlRules, check_url, file_name, is_allowed, shown_url

_CHUNK: Final = 2**20
_TIMEOUT: Final = aiohttp.ClientTimeout(total=None, connect=30, sock_connect=15, sock_read=60)
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_RANGE: Final = re.compile(r"bytes (\d+)-\d+/(\d+|\*)")
_LONGEST_PAUSE_S: Final = 60.0

Progress = Callable[[int, int | None], None]
"""Told how many bytes of all files have come, and how many this file has in all where the server says so."""


class Tries(NamedTuple):
    """`most` failures in a row without a byte are borne, with pauses of `first` seconds that double."""

    most: int = 6
    first: float = 0.5


class _Guard:
    """Makes the sockets of a session. Refuses addresses that must not be connected to, and remembers that it did."""

    def __init__(self, rules: UrlRules) -> None:
        self._rules = rules
        self.refused = False

    def __call__(self, info: aiohttp.AddrInfoType) -> socket.socket:
        family, kind, protocol, _, address = info
        if not is_allowed(str(address[0]), self._rules.networks):
            self.refused = True
            raise PermissionError(errno.EACCES, "not an address of the public internet")
        return socket.socket(family, kind, protocol)


def download_urls(
    urls: Sequence[str],
    folder: Path,
    rules: UrlRules = UrlRules(),  # noqa: B008 - an immutable tuple
    *,
    tls: ssl.SSLContext | None = None,
    tries: Tries = Tries(),  # noqa: B008 - an immutable tuple
    progress: Progress = lambda _done, _total: None,
) -> list[Whole]:
    """Bring the files into the folder, one after another; what an earlier run brought is not fetched again.

    A break goes on where it was, if the server can tell that the file is still the same. `tls` are the authorities
    to trust instead of the system's. Raises UrlError, whose message names no query of an address.
    """
    return asyncio.run(_download_all(urls, folder, rules, tls, tries, progress))


async def _download_all(
    urls: Sequence[str], folder: Path, rules: UrlRules, tls: ssl.SSLContext | None, tries: Tries, progress: Progress
) -> list[Whole]:
    try:
        async with asyncio.timeout(rules.seconds):
            return await _one_by_one(list(dict.fromkeys(urls)), folder, rules, tls, tries, progress)
    except TimeoutError:
        raise UrlError(
            f"The files were not all here after {rules.seconds:g} s, which is as long as it may take. What has come "
            "is kept.",
            passes=True,
        ) from None
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        text = "The disk is full." if full else f"The files cannot be written: {error.strerror or error}."
        raise UrlError(text) from error


async def _one_by_one(
    urls: Sequence[str], folder: Path, rules: UrlRules, tls: ssl.SSLContext | None, tries: Tries, progress: Progress
) -> list[Whole]:
    found: list[Whole] = []
    for url in urls:
        left = rules.bytes - sum(one.bytes for one in found)
        found.append(await _Download(url, folder, rules, left, tls, progress).run(tries))
    return found


class _Download:
    """Brings one file."""

    def __init__(
        self, url: str, folder: Path, rules: UrlRules, room: int, tls: ssl.SSLContext | None, progress: Progress
    ) -> None:
        self._url = url
        self._folder = folder
        self._rules = rules
        self._room = room
        self._tls = tls
        self._progress = progress
        self._file = Growing(folder, url)

    async def run(self, tries: Tries) -> Whole:
        """Fetch, as often as it takes. Raises UrlError, OSError of the disk."""
        if whole := self._file.whole():
            return whole
        failures = 0
        while True:
            before = self._file.size
            try:
                return self._file.finish(await self._attempt())
            except UrlError as error:
                failures = 1 if self._file.size > before else failures + 1
                if not error.passes or failures >= tries.most:
                    raise
                own = tries.first * 2.0 ** (failures - 1)
                await asyncio.sleep(min(max(own, error.after or 0.0), _LONGEST_PAUSE_S))

    async def _attempt(self) -> str:
        """Take all that the server sends now; the file's name. Raises UrlError."""
        guard = _Guard(self._rules)
        connector = aiohttp.TCPConnector(socket_factory=guard, ssl=self._tls or True, force_close=True)
        session = aiohttp.ClientSession(
            connector=connector, timeout=_TIMEOUT, cookie_jar=aiohttp.DummyCookieJar(), auto_decompress=False
        )
        try:
            async with session:
                return await self._follow(session)
        except (aiohttp.ClientError, TimeoutError, UnicodeError, PermissionError) as error:
            if isinstance(error, PermissionError) and not guard.refused:
                raise  # the disk's
            raise self._broken(error, refused=guard.refused) from error

    async def _follow(self, session: aiohttp.ClientSession) -> str:
        """Ask, and go where the server says, as often as the rules allow."""
        url = self._url
        for _ in range(self._rules.redirects + 1):
            check_url(url, self._rules)
            exact = yarl.URL(url, encoded=url.isascii())  # a signed address must arrive as it was written
            async with session.get(exact, headers=self._headers(), allow_redirects=False) as response:
                if response.status not in _REDIRECTS:
                    await self._take(response)
                    disposition = response.content_disposition
                    return file_name(self._url, disposition.filename if disposition else None)
                url = _led_to(url, response.headers.get("Location", ""))
        raise UrlError(
            f"{shown_url(self._url)} leads on to other addresses more than {self._rules.redirects} times. "
            "Name the address of the file itself."
        )

    def _headers(self) -> dict[str, str]:
        """What is asked for: the rest, but only if the file has not changed since (RFC 9110, 13.1.5)."""
        headers = {"Accept-Encoding": "identity", "User-Agent": "kaitobus"}
        if self._file.size and self._file.validator:
            headers |= {"Range": f"bytes={self._file.size}-", "If-Range": self._file.validator}
        return headers

    async def _take(self, response: aiohttp.ClientResponse) -> None:
        if response.status == 416:
            self._file.restart("")
            raise UrlError(f"{shown_url(self._url)} has changed while it was fetched.", passes=True)
        if response.status not in (200, 206):
            raise self._refusal(response)
        if response.headers.get("Content-Encoding", "identity") != "identity":
            raise UrlError(f"{shown_url(self._url)}: the server packs the file though it was asked not to.")
        if not self._continues(response):
            self._file.restart(_validator(response))
        total = self._total(response)
        self._check_room(total or 0, response.content_length or 0)
        with self._file.append() as file:
            size = self._file.size
            async for chunk in response.content.iter_chunked(_CHUNK):
                size += len(chunk)
                self._check_room(size, 0)
                file.write(chunk)
                self._progress(self._rules.bytes - self._room + size, total)
        if total is not None and size < total:
            raise UrlError(f"{shown_url(self._url)}: {size} of {total} bytes came.", passes=True)

    def _total(self, response: aiohttp.ClientResponse) -> int | None:
        """What the whole file has, where the server says so. A part may be shorter than the rest (RFC 9110, 15.3.7)."""
        found = _RANGE.fullmatch(response.headers.get("Content-Range", "")) if response.status == 206 else None
        if found and found[2].isdecimal():
            return int(found[2])
        return None if response.content_length is None else self._file.size + response.content_length

    def _continues(self, response: aiohttp.ClientResponse) -> bool:
        """Whether an answer goes on at the byte that was asked for."""
        found = _RANGE.fullmatch(response.headers.get("Content-Range", "")) if response.status == 206 else None
        if response.status == 206 and (found is None or int(found[1]) != self._file.size):
            self._file.restart("")
            raise UrlError(f"{shown_url(self._url)}: the server sent another part than it was asked for.", passes=True)
        return found is not None

    def _check_room(self, size: int, coming: int) -> None:
        if size > self._room:
            raise UrlError(
                f"{shown_url(self._url)}: the files have more than the {self._rules.bytes} bytes that may be fetched."
            )
        free = shutil.disk_usage(self._folder).free if coming else 0
        if coming > free:
            raise UrlError(f"The disk is full: {shown_url(self._url)} has {coming} bytes more, and {free} are free.")

    def _refusal(self, response: aiohttp.ClientResponse) -> UrlError:
        """What an answer without a file means."""
        status, where = response.status, shown_url(self._url)
        if status in (401, 403):
            return UrlError(
                f"{where} is not open to everybody ({status}). Use an address that needs no credentials, a volume, "
                "or an image with a pull secret."
            )
        if status in (404, 410):
            return UrlError(f"{where} is not there ({status}). Check the address.")
        if status in (408, 425, 429) or status >= 500:
            return UrlError(f"{where} answered {status}.", passes=True, after=_seconds(response))
        return UrlError(f"{where} answered {status} instead of the file.")

    def _broken(self, error: BaseException, *, refused: bool) -> UrlError:
        where = shown_url(self._url)
        if refused:
            return UrlError(
                f"{where} leads to an address that is not of the public internet, which is not connected to. "
                "Use a public address, a volume or an image."
            )
        if isinstance(error, aiohttp.ClientConnectorCertificateError | aiohttp.ClientConnectorSSLError):
            return UrlError(f"{where}: the server cannot be trusted: {_words(error)}.")
        if isinstance(error, aiohttp.InvalidURL | UnicodeError):
            return UrlError(f"{where} is no address of a file.")
        return UrlError(f"{where}: the connection broke or could not be made: {_words(error)}.", passes=True)


def _validator(response: aiohttp.ClientResponse) -> str:
    """What the server can know this very file by: a strong ETag, else the date of its last change."""
    etag = response.headers.get("ETag", "")
    return etag if etag and not etag.startswith("W/") else response.headers.get("Last-Modified", "")


def _seconds(response: aiohttp.ClientResponse) -> float | None:
    text = response.headers.get("Retry-After", "")
    return float(text) if text.isdecimal() and len(text) < 6 else None


def _led_to(url: str, location: str) -> str:
    """Where a redirect leads. Raises UrlError."""
    try:
        return urljoin(url, location)
    except ValueError:
        raise UrlError(f"{shown_url(url)} leads to what is no address of a file.") from None


def _words(error: BaseException) -> str:
    """What an error of the network says, on one line, without the address: it may hold a key."""
    inner = getattr(error, "os_error", None) or getattr(error, "certificate_error", None)
    text = getattr(inner, "strerror", None) or str(inner or "") or type(error).__name__
    return " ".join(text.split())[:200]

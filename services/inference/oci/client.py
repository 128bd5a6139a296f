"""The calls of the OCI distribution specification that moving files takes, with limits of time and of size."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Final, NamedTuple, Self
from urllib.parse import urlencode, urljoin, urlsplit

import requests

from services.inference.oci.auth import Authenticator
from services.inference.oci.bodies import BROKEN, finish, read_bounded, words
from services.inference.oci.credentials import Credentials
from services.inference.oci.errors import Denied, Hostile, NotFound, OciError, Passing
from services.inference.oci.manifest import ACCEPTED
from services.inference.oci.reference import Reference

CHUNK: Final = 2**20
LARGEST_MANIFEST: Final = 4 * 2**20
"""Bytes of the largest manifest that is read, as registries limit them."""
_TIMEOUT: Final = (10.0, 60.0)
"""Seconds for a connection to be made, and between two pieces of an answer."""
_NOT_TLS: Final = ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "PACKET_LENGTH_TOO_LONG", "HTTP_REQUEST")

Body = Callable[[], IO[bytes] | Iterator[bytes] | bytes]
"""Makes the body of a request anew for each try."""


class Fetched(NamedTuple):
    """A manifest as it came, and its digest."""

    content: bytes
    digest: str


class _Header(requests.auth.AuthBase):
    """Sets `Authorization`, and keeps requests from putting that of a .netrc there."""

    def __init__(self, value: str | None) -> None:
        self._value = value

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if self._value:
            request.headers["Authorization"] = self._value
        return request


class Registry:
    """One repository of a registry. Safe to share between threads. A context manager, which closes connections.

    Every method raises OciError: Passing where trying again may help, else Denied, NotFound, Hostile or itself.
    A registry on this machine may speak plain HTTP; any other only if `plain_http` says so.
    """

    def __init__(
        self, reference: Reference, credentials: Credentials | None, *, plain_http: bool = False, ca: Path | None = None
    ) -> None:
        self.reference = reference
        self._scheme = "http" if plain_http else "https"
        self._session = requests.Session()
        self._session.headers["User-Agent"] = "kaitobus"
        self._session.trust_env = not reference.loopback  # a proxy is not asked for this very machine
        self._verify: str | bool = str(ca) if ca else os.environ.get("REQUESTS_CA_BUNDLE") or True
        self._session.verify = self._verify
        self._auth = Authenticator(self._session, credentials, _TIMEOUT)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._session.close()

    def manifest(self, wanted: str) -> Fetched:
        """A manifest by tag or digest. Its bytes are checked against the digest, where that is what names it."""
        headers = {"Accept": ", ".join(ACCEPTED)}
        with self._call("GET", f"manifests/{wanted}", headers=headers) as response:
            content = read_bounded(response, LARGEST_MANIFEST, self._where(wanted))
        algorithm = wanted.partition(":")[0] if ":" in wanted else "sha256"
        digest = f"{algorithm}:{hashlib.new(algorithm, content).hexdigest()}"
        if ":" in wanted and digest != wanted:
            raise Hostile(f"{self._where(wanted)}: the registry sent another manifest, with the digest {digest}.")
        return Fetched(content, digest)

    def blob(self, digest: str, start: int = 0) -> requests.Response:
        """A blob as a stream, from byte `start` on if the registry knows ranges (status 206), else from the first."""
        headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={start}-"} if start else {})
        return self._call("GET", f"blobs/{digest}", headers=headers)

    def has_blob(self, digest: str) -> bool:
        """Whether the repository has a blob."""
        try:
            finish(self._call("HEAD", f"blobs/{digest}"))
        except NotFound:
            return False
        return True

    def start_upload(self, digest: str, mount_from: str | None = None) -> str | None:
        """Where to send a blob; None if it was mounted from the other repository and need not be sent."""
        asked = "?" + urlencode({"mount": digest, "from": mount_from}) if mount_from else ""
        response = self._call("POST", f"blobs/uploads/{asked}", body=lambda: b"")
        finish(response)
        return None if response.status_code == 201 else self._location(response)

    def upload(self, place: str, digest: str, body: Body) -> None:
        """Send a blob's bytes to where `start_upload` said, and have the registry check them."""
        headers = {"Content-Type": "application/octet-stream"}
        response = self._call("PATCH", place, headers=headers, body=body)
        finish(response)
        place = self._location(response)
        closing = place + ("&" if "?" in place else "?") + urlencode({"digest": digest})
        finish(self._call("PUT", closing, body=lambda: b""))

    def put_manifest(self, wanted: str, media_type: str, content: bytes) -> None:
        """Put a manifest under a tag or digest: all that it names must be there already."""
        finish(self._call("PUT", f"manifests/{wanted}", headers={"Content-Type": media_type}, body=lambda: content))

    def _location(self, response: requests.Response) -> str:
        place = response.headers.get("Location")
        if not place:
            raise OciError(f"{self.reference.registry} does not say where to upload to.")
        return urljoin(response.url, place)

    def _call(
        self, method: str, path: str, *, headers: Mapping[str, str] | None = None, body: Body | None = None
    ) -> requests.Response:
        """Ask, with what the registry's challenge wants where it sends one: at first, and when a token is too old."""
        for _ in range(3):
            shown = self._auth.header()
            response = self._send(method, path, headers or {}, body, shown)
            if response.status_code != 401:
                break
            challenge = response.headers.get("WWW-Authenticate", "")
            finish(response)
            if not self._auth.answer(challenge, shown, response.url):
                break
        if response.status_code < 300:
            self._check_way(response)
            return response
        raise self._refusal(response, method)

    def _send(
        self, method: str, path: str, headers: Mapping[str, str], body: Body | None, shown: str | None
    ) -> requests.Response:
        host = self.reference.host
        url = path if "://" in path else f"{self._scheme}://{host}/v2/{self.reference.repository}/{path}"
        own = urlsplit(url).netloc == host
        auth = _Header(shown if own else None)
        try:
            return self._session.request(
                method, url, headers=dict(headers), data=body() if body else None, auth=auth, stream=True,
                timeout=_TIMEOUT, verify=self._verify, allow_redirects=method in ("GET", "HEAD"),
            )  # fmt: skip
        except requests.exceptions.SSLError as error:
            if (
                own
                and url.startswith("https:")
                and self.reference.loopback
                and any(sign in str(error) for sign in _NOT_TLS)
            ):
                self._scheme = "http"
                return self._send(method, path, headers, body, shown)
            raise OciError(
                f"{host} cannot be trusted: {words(error)}. Its certificate must be signed by an authority that is "
                "known here; REQUESTS_CA_BUNDLE names a file of others."
            ) from error
        except BROKEN as error:
            raise Passing(f"{host} does not answer: {words(error)}.") from error

    def _check_way(self, response: requests.Response) -> None:
        """Raises Hostile where an answer that was asked for by TLS came without it: what a tag names is not known."""
        way = [step.url for step in (*response.history, response)]
        if way[0].startswith("https:") and any(url.startswith("http:") for url in way[1:]):
            response.close()
            raise Hostile(f"{self.reference.registry} redirects to an address without TLS, which is not followed.")

    def _refusal(self, response: requests.Response, method: str) -> OciError:
        """What an answer of 300 and more means."""
        with response:
            status, said, host = response.status_code, _said(response), self.reference.registry
        target = f"{host}/{self.reference.repository}"
        if status in (401, 403):
            who = "callers without credentials" if self._auth.anonymous else "the credentials that it was given"
            change = "Name a pull secret for it." if self._auth.anonymous else "Check the secret, and what it may do."
            return Denied(f"{target}: the registry refuses {who} ({status}{said}). {change}")
        if status == 404 and method in ("GET", "HEAD"):
            return NotFound(
                f"{target}: the registry has no {_kind(response.url)} (404{said}). Check the name and the tag."
            )
        if status in (408, 429) or status >= 500:
            return Passing(f"{host} answered {status}{said}.", after=_seconds(response.headers.get("Retry-After")))
        return OciError(f"{target}: the registry refuses the {method} of {_kind(response.url)} ({status}{said}).")

    def _where(self, wanted: str) -> str:
        return f"{self.reference.registry}/{self.reference.repository} {wanted}"


def _said(response: requests.Response) -> str:
    """The registry's own words, after a comma: the first of its `errors`."""
    try:
        content: object = json.loads(read_bounded(response, 2**16, ""))
    except (OciError, ValueError, RecursionError):
        return ""
    errors = content.get("errors") if isinstance(content, dict) else None
    first = errors[0] if isinstance(errors, list) and errors else None
    if not isinstance(first, dict):
        return ""
    text = " ".join(f"{first.get('code', '')}: {first.get('message', '')}".split())
    return f", {''.join(c for c in text if c.isprintable())[:200]}"


def _kind(url: str) -> str:
    part = urlsplit(url).path
    name = part.rsplit("/", 1)[-1][:80]
    return f"manifest {name}" if "/manifests/" in part else f"blob {name}"


def _seconds(text: str | None) -> float | None:
    return float(text) if text and text.isdecimal() and len(text) < 6 else None

"""Answers a registry's challenge: basic, or a bearer token from the place that the registry names.

The flows are those of the distribution project: a GET with basic credentials, or with none, and for an identity
token the POST of OAuth 2. Tokens live for minutes; one that is refused is asked for anew, once a request.
"""

from __future__ import annotations

import base64
import json
import re
import threading
from typing import Final
from urllib.parse import urlsplit

import requests

from services.inference.oci.bodies import read_bounded, words
from services.inference.oci.credentials import Credentials
from services.inference.oci.errors import Denied, OciError, Passing

_PARAMETER = re.compile(r'([A-Za-z][A-Za-z0-9_-]*)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+))')
_LARGEST_ANSWER: Final = 2**20
_CLIENT: Final = "kaitobus"


class Challenge:
    """A `WWW-Authenticate` header: its scheme in small letters and its parameters."""

    def __init__(self, header: str) -> None:
        scheme, _, rest = header.strip().partition(" ")
        self.scheme = scheme.lower()
        self.parameters = {m[1].lower(): m[2] if m[2] is not None else m[3] for m in _PARAMETER.finditer(rest)}


class Authenticator:
    """Holds the credentials and the newest token of one repository. Safe to share between threads."""

    def __init__(
        self, session: requests.Session, credentials: Credentials | None, timeout: tuple[float, float]
    ) -> None:
        self._session = session
        self._credentials = credentials
        self._timeout = timeout
        self._lock = threading.Lock()
        self._header: str | None = None

    @property
    def anonymous(self) -> bool:
        """Whether there are no credentials to show."""
        return self._credentials is None

    def header(self) -> str | None:
        """The value of `Authorization` by what is known so far."""
        return self._header

    def answer(self, challenge: str, refused: str | None, url: str) -> bool:
        """Get ready for another try after a 401 to `refused`, the header that was sent. False if there is no way.

        Raises Denied, Passing.
        """
        with self._lock:
            if self._header != refused:
                return True  # another thread has got a newer one meanwhile
            header = self._answered(Challenge(challenge), url)
            if header is None or (header == refused and header.startswith("Basic ")):
                return False
            self._header = header
            return True

    def _answered(self, challenge: Challenge, url: str) -> str | None:
        if challenge.scheme == "basic":
            return self._basic()
        if challenge.scheme == "bearer" and "realm" in challenge.parameters:
            return f"Bearer {self._token(challenge.parameters, url)}"
        return None

    def _basic(self) -> str | None:
        known = self._credentials
        if known is None or known.identity_token:
            return None
        return "Basic " + base64.b64encode(f"{known.username}:{known.password}".encode()).decode()

    def _token(self, parameters: dict[str, str], url: str) -> str:
        realm = parameters["realm"]
        place = urlsplit(realm)
        if place.scheme not in ("https", "http") or (place.scheme == "http" and urlsplit(url).scheme == "https"):
            raise Denied(f"The registry sends us to {realm[:200]!r} for a token, which is not reached by TLS.")
        asked = {key: value for key, value in parameters.items() if key in ("service", "scope")}
        try:
            with self._ask(realm, asked) as answer:
                status, content = answer.status_code, read_bounded(answer, _LARGEST_ANSWER, place.netloc)
        except requests.RequestException as error:
            raise Passing(f"{_giver(place.netloc)} does not answer: {words(error)}.") from error
        if status >= 500 or status == 429:
            raise Passing(f"{_giver(place.netloc)} answered {status}.")
        if status >= 300:
            raise Denied(f"{_giver(place.netloc)} refuses {self._who()}. Check the pull secret.")
        return _token_of(content, place.netloc)

    def _ask(self, realm: str, asked: dict[str, str]) -> requests.Response:
        known = self._credentials
        if known is not None and known.identity_token:
            form = {**asked, "grant_type": "refresh_token", "refresh_token": known.identity_token, "client_id": _CLIENT}
            return self._session.post(realm, data=form, timeout=self._timeout, allow_redirects=False, stream=True)
        basic = self._basic()
        headers = {"Authorization": basic} if basic else {}
        return self._session.get(
            realm, params=asked, headers=headers, timeout=self._timeout, allow_redirects=False, stream=True
        )

    def _who(self) -> str:
        known = self._credentials
        if known is None:
            return "callers without credentials"
        return f"the user {known.username!r}" if known.username else "the identity token"


def _giver(host: str) -> str:
    return f"{host}, which gives out the registry's tokens,"


def _token_of(answer: bytes, host: str) -> str:
    try:
        content: object = json.loads(answer)
    except (ValueError, RecursionError):
        content = None
    found = (content.get("token") or content.get("access_token")) if isinstance(content, dict) else None
    if not isinstance(found, str) or not re.fullmatch(r"[\x21-\x7e]+", found):
        raise OciError(f"{_giver(host)} answered without a token.")
    return found

"""A server of tokens, as clouds have one beside their registries: it speaks the distribution project's protocol.

The registry is the real one and checks the tokens' signatures; only who may have one is decided here.
"""

from __future__ import annotations

import base64
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Self
from urllib.parse import parse_qs, urlsplit

import jwt
from cryptography import x509
from cryptography.hazmat.primitives import serialization

SERVICE, ISSUER = "registry in tests", "tokens in tests"
IDENTITY_TOKEN = "identity-of-ann"


class TokenServer:
    """Gives tokens that live `seconds` to Ann with her password, or with her identity token."""

    def __init__(self, certificate: Path, key: Path, user: str, password: str, seconds: float) -> None:
        self.given = 0
        self.seconds = seconds
        self._basic = "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
        self._chain = base64.b64encode(
            x509.load_pem_x509_certificate(certificate.read_bytes()).public_bytes(serialization.Encoding.DER)
        ).decode()
        self._key = key.read_bytes()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                known = self.headers.get("Authorization") == outer._basic
                self._answer(outer.token(parse_qs(urlsplit(self.path).query)) if known else None)

            def do_POST(self) -> None:
                form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
                known = form.get("refresh_token") == [IDENTITY_TOKEN] and form.get("grant_type") == ["refresh_token"]
                self._answer(outer.token(form) if known else None)

            def _answer(self, token: str | None) -> None:
                body = json.dumps({"access_token": token, "token": token} if token else {}).encode()
                self.send_response(200 if token else 401)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.realm = f"http://127.0.0.1:{self._server.server_port}/token"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def auth(self, certificate: Path) -> dict[str, object]:
        """The registry's configuration that trusts these tokens."""
        settings = {"realm": self.realm, "service": SERVICE, "issuer": ISSUER, "rootcertbundle": str(certificate)}
        return {"token": settings}

    def token(self, asked: dict[str, list[str]]) -> str:
        """A token for what was asked."""
        self.given += 1
        now = time.time()
        claims = {
            "iss": ISSUER, "aud": SERVICE, "sub": "ann", "jti": str(self.given),
            "iat": int(now), "nbf": int(now) - 10, "exp": int(now + self.seconds),
            "access": [_access(scope) for scope in asked.get("scope", [])],
        }  # fmt: skip
        return jwt.encode(claims, self._key, algorithm="ES256", headers={"x5c": [self._chain]})


def _access(scope: str) -> dict[str, object]:
    kind, name, actions = scope.split(":")
    return {"type": kind, "name": name, "actions": actions.split(",")}

"""Who may read a registry: passwords, tokens and certificates, and who gets to see them."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from urllib3.connection import HTTPSConnection

from services.inference.oci.credentials import Credentials
from services.inference.oci.errors import Denied, OciError
from services.inference.oci.names import Kind
from services.inference.oci.push import push
from tests.azure_arm import certificate
from tests.integration.oci_fixtures import HASTY, Make, make, model, pulled, registry
from tests.registry.server import PASSWORD, USER, RegistryServer
from tests.registry.tokens import IDENTITY_TOKEN, TokenServer

__all__ = ["make", "model"]


def test_the_right_password_over_tls(make: Make, model: Path, tmp_path: Path) -> None:
    ca, _ = certificate.make(tmp_path)
    server = make(certificate=(ca, tmp_path / "key.pem"), passwords=True)
    with registry(server, credentials=Credentials(USER, PASSWORD), ca=ca) as client:
        push(client, model, Kind.MODEL)
        assert (pulled(client, tmp_path) / "config.json").is_file()


def test_a_push_over_tls_makes_no_connection_anew(
    make: Make, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[str] = []
    connect = HTTPSConnection.connect

    def counted(connection: HTTPSConnection) -> None:
        made.append(connection.host)
        connect(connection)

    monkeypatch.setattr(HTTPSConnection, "connect", counted)
    ca, _ = certificate.make(tmp_path)
    server = make(certificate=(ca, tmp_path / "key.pem"), passwords=True)
    with registry(server, credentials=Credentials(USER, PASSWORD), ca=ca) as client:
        push(client, model, Kind.MODEL, at_once=2)
    assert 1 <= len(made) <= 4, "one for each thread, and again where it was refused at first; not one for each call"


@pytest.mark.parametrize(
    ("known", "words"),
    [(None, "callers without credentials .401.*Name a pull secret"), (Credentials(USER, "no"), "Check the secret")],
)
def test_no_password_and_a_wrong_one(make: Make, tmp_path: Path, known: Credentials | None, words: str) -> None:
    with registry(make(passwords=True), credentials=known) as client, pytest.raises(Denied, match=words) as raised:
        pulled(client, tmp_path)
    assert "correct horse" not in str(raised.value)


def test_a_certificate_that_nobody_vouches_for(make: Make, tmp_path: Path) -> None:
    ca, _ = certificate.make(tmp_path)
    server = make(certificate=(ca, tmp_path / "key.pem"))
    with registry(server) as client, pytest.raises(OciError, match=r"cannot be trusted: .*certificate verify failed"):
        pulled(client, tmp_path)


@pytest.mark.parametrize("known", [Credentials(USER, PASSWORD), Credentials(identity_token=IDENTITY_TOKEN)])
def test_tokens_are_fetched_and_fetched_again_when_they_are_too_old(
    make: Make, model: Path, tmp_path: Path, known: Credentials
) -> None:
    ca, _ = certificate.make(tmp_path)
    with TokenServer(ca, tmp_path / "key.pem", USER, PASSWORD, seconds=3600) as tokens:
        server = make(auth=tokens.auth(ca))
        with registry(server, credentials=known) as client:
            tokens.seconds = -61  # too old when it comes, beyond the minute that clocks may differ
            with pytest.raises(Denied):
                push(client, model, Kind.MODEL, patience=HASTY)
            tokens.seconds = 3600
            given = tokens.given
            push(client, model, Kind.MODEL)
            pulled(client, tmp_path)
            assert 1 <= tokens.given - given <= 4  # for the push and for the pull, not for each call
        refusal = "gives out the registry's tokens, refuses the user 'ann'"
        with registry(server, credentials=Credentials(USER, "wrong")) as client, pytest.raises(Denied, match=refusal):
            pulled(client, tmp_path)


def test_a_redirect_is_followed_and_the_password_stays_here(make: Make, model: Path, tmp_path: Path) -> None:
    """As clouds do: blobs come from their storage, which must not see the registry's password."""
    server = make(passwords=True)
    known = Credentials(USER, PASSWORD)
    with registry(server, credentials=known) as client:
        push(client, model, Kind.MODEL)
    with _Cloud(server, known) as (front, seen), registry(front, credentials=known) as client:
        assert (pulled(client, tmp_path) / "config.json").is_file()
    assert seen
    assert set(seen) == {None}


class _Cloud:
    """The front of a cloud's registry: manifests come from the real one, blobs by redirect to a storage of its own."""

    def __init__(self, server: RegistryServer, known: Credentials) -> None:
        self.seen: list[str | None] = []
        storage = ThreadingHTTPServer(("127.0.0.1", 0), self._storage(server))
        front = ThreadingHTTPServer(("127.0.0.1", 0), self._front(server, known, storage.server_port))
        self._servers = (storage, front)
        self.host = f"127.0.0.1:{front.server_port}"

    def __enter__(self) -> tuple[RegistryServer, list[str | None]]:
        for server in self._servers:
            threading.Thread(target=server.serve_forever, daemon=True).start()
        return self, self.seen  # type: ignore[return-value]

    def __exit__(self, *_: object) -> None:
        for server in self._servers:
            server.shutdown()
            server.server_close()

    def _storage(self, server: RegistryServer) -> type[BaseHTTPRequestHandler]:
        seen = self.seen

        class Storage(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                seen.append(self.headers.get("Authorization"))
                content = server.blob_file(self.path.rsplit("/", 1)[-1]).read_bytes()
                self.send_response(200)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *args: object) -> None:
                """Say nothing."""

        return Storage

    def _front(self, server: RegistryServer, known: Credentials, storage: int) -> type[BaseHTTPRequestHandler]:
        class Front(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                if not self.headers.get("Authorization"):
                    self.send_response(401)
                    self.send_header("WWW-Authenticate", 'Basic realm="cloud"')
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                elif "/blobs/" in self.path:
                    self.send_response(307)
                    self.send_header("Location", f"http://localhost:{storage}{self.path}")
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                else:
                    with registry(server, credentials=known) as client:
                        content = client.manifest(self.path.rsplit("/", 1)[-1]).content
                    self.send_response(200)
                    self.send_header("Content-Length", str(len(content)))
                    self.end_headers()
                    self.wfile.write(content)

            def log_message(self, *args: object) -> None:
                """Say nothing."""

        return Front

"""Files go into a real registry and come out of it, whatever happens on the way."""

from __future__ import annotations

import hashlib
import json
import os
import threading
from collections.abc import AsyncIterator, Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from services.inference.oci.client import Registry
from services.inference.oci.credentials import Credentials
from services.inference.oci.errors import Denied, Hostile, NotFound, OciError, Passing
from services.inference.oci.manifest import OCI_INDEX, OCI_MANIFEST, Manifest
from services.inference.oci.names import Kind
from services.inference.oci.pack_format import Format
from services.inference.oci.patience import Patience
from services.inference.oci.pull import Limits, pull, resolve
from services.inference.oci.push import push
from services.inference.oci.reference import parse_reference
from services.inference.oci.store import Store
from tests.azure_arm import certificate
from tests.registry.binary import registry_binary
from tests.registry.server import PASSWORD, USER, RegistryServer
from tests.registry.tokens import IDENTITY_TOKEN, TokenServer

Make = Callable[..., RegistryServer]
LARGE = 24 * 2**20
HASTY = Patience(tries=3, first=0.05, longest=0.1)


@pytest.fixture
async def make(tmp_path: Path) -> AsyncIterator[Make]:
    """Starts registries, and ends them."""
    binary = await registry_binary()
    started: list[RegistryServer] = []

    def one(name: str = "registry", **options: object) -> RegistryServer:
        server = RegistryServer(binary, tmp_path / name, **options)  # type: ignore[arg-type]
        started.append(server.start())
        return server

    yield one
    for server in started:
        server.kill()


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A folder as the hub has them: two files of weights, small files, and one that is none of our business."""
    folder = tmp_path / "model"
    folder.mkdir()
    for number in (1, 2):
        (folder / f"model-0000{number}-of-00002.safetensors").write_bytes(os.urandom(LARGE))
    (folder / "config.json").write_text("{}")
    (folder / "tokenizer.json").write_text('{"a": 1}')
    (folder / "training.py").write_text("print()")
    return folder


def files(folder: Path) -> dict[str, str]:
    """The digest of each file."""
    found = (path for path in folder.rglob("*") if path.is_file())
    return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in found}


def registry(server: RegistryServer, name: str = "team/model:v1", **options: object) -> Registry:
    """A client of that registry."""
    known = options.pop("credentials", None)
    return Registry(parse_reference(f"{server.host}/{name}"), known, **options)  # type: ignore[arg-type]


def pulled(client: Registry, tmp_path: Path, **options: object) -> Path:
    """Where the files are that were pulled."""
    into = tmp_path / "into" / "model"
    pull(client, Kind.MODEL, into, Store(tmp_path / "store"), patience=HASTY, **options)  # type: ignore[arg-type]
    return into


@pytest.mark.parametrize("how", list(Format))
def test_what_is_pushed_is_pulled(make: Make, model: Path, tmp_path: Path, how: Format) -> None:
    with registry(make()) as client:
        push(client, model, Kind.MODEL, how=how)
        expected = files(model)
        del expected["training.py"]
        assert files(pulled(client, tmp_path)) == expected


def test_the_same_files_give_the_same_digest_and_are_sent_once(make: Make, model: Path) -> None:
    with registry(make()) as client:
        first = push(client, model, Kind.MODEL)
        again = push(client, model, Kind.MODEL)
    assert (again.digest, again.found) == (first.digest, first.bytes)


def test_layers_are_taken_over_from_another_repository(make: Make, model: Path) -> None:
    server = make()
    with registry(server) as client:
        push(client, model, Kind.MODEL)
    with registry(server, "other/model:v1") as client:
        sent: list[int] = []
        push(client, model, Kind.MODEL, mount_from="team/model", progress=lambda done, _: sent.append(done))
    assert len(sent) == 3  # each layer in one step, not piece by piece


def test_the_manifest_says_what_it_is_and_whose(make: Make, model: Path) -> None:
    with registry(make()) as client:
        done = push(client, model, Kind.MODEL, annotations={"sh.kaito.model.name": "org/base"})
        manifest, digest = resolve(client, HASTY)
        content = json.loads(client.manifest("v1").content)
    assert digest == done.digest
    assert content["artifactType"] == "application/vnd.kaitobus.model.v1"
    assert content["annotations"] == {"sh.kaito.model.name": "org/base"}
    assert len(manifest.layers) == 3


def test_a_registry_that_dies_midway_is_waited_for_and_what_has_come_is_kept(
    make: Make, model: Path, tmp_path: Path
) -> None:
    server = make()
    with registry(server) as client:
        push(client, model, Kind.MODEL, how=Format.ARTIFACT)
        died_at: list[int] = []

        def die(done: int, total: int) -> None:
            if done > LARGE // 2 and not died_at:
                died_at.append(done)
                server.kill()

        def revive(_seconds: float) -> None:
            with lock:
                if server.port and died_at and not revived:
                    revived.append(True)
                    server.start()

        lock, revived = threading.Lock(), list[bool]()
        counted: list[int] = []
        patience = Patience(tries=4, first=0.01, longest=0.01, pause=revive)
        into = tmp_path / "into"

        def progress(done: int, total: int) -> None:
            counted.append(done)
            die(done, total)

        pull(
            client,
            Kind.MODEL,
            into,
            Store(tmp_path / "s"),
            patience=patience,
            progress=progress,
            limits=Limits(at_once=1),
        )
    assert revived
    assert files(into).keys() == files(model).keys() - {"training.py"}
    assert counted == sorted(counted)  # nothing was thrown away and fetched again


def test_a_registry_that_stays_dead_is_given_up_and_nothing_is_in_place(
    make: Make, model: Path, tmp_path: Path
) -> None:
    server = make()
    with registry(server) as client:
        push(client, model, Kind.MODEL)
        server.kill()
        with pytest.raises(Passing, match=r"does not answer: .*Connection refused"):
            pulled(client, tmp_path)
    assert not (tmp_path / "into").exists()


def test_a_pull_that_was_cut_off_goes_on_where_it_was(make: Make, model: Path, tmp_path: Path) -> None:
    server = make()

    class CutOff(Exception):
        pass

    def cut(done: int, _total: int) -> None:
        if done > LARGE // 2:
            raise CutOff

    with registry(server) as client:
        push(client, model, Kind.MODEL, how=Format.ARTIFACT)
        with pytest.raises(CutOff):
            pulled(client, tmp_path, progress=cut, limits=Limits(at_once=1))
        kept = sum(part.stat().st_size for part in (tmp_path / "store/parts").glob("*.part"))
        assert kept >= LARGE // 2
        first: list[int] = []
        pulled(client, tmp_path, progress=lambda done, _: first.append(done), limits=Limits(at_once=1))
    assert files(tmp_path / "into/model") == {k: v for k, v in files(model).items() if k != "training.py"}


def test_bytes_that_were_changed_in_the_registry_are_not_used(make: Make, model: Path, tmp_path: Path) -> None:
    server = make()
    with registry(server) as client:
        push(client, model, Kind.MODEL, how=Format.ARTIFACT)
        manifest, _ = resolve(client, HASTY)
        changed = max(manifest.layers, key=lambda layer: layer.size)
        with server.blob_file(changed.digest).open("r+b") as file:
            file.seek(LARGE // 2)
            file.write(b"changed")
        with pytest.raises(Hostile, match="not those that the digest names"):
            pulled(client, tmp_path)
    assert not (tmp_path / "into").exists()


def test_a_blob_that_was_cut_short_in_the_registry_is_given_up(make: Make, model: Path, tmp_path: Path) -> None:
    server = make()
    with registry(server) as client:
        push(client, model, Kind.MODEL, how=Format.ARTIFACT)
        manifest, _ = resolve(client, HASTY)
        with server.blob_file(manifest.layers[0].digest).open("r+b") as file:
            file.truncate(1)
        with pytest.raises(OciError):
            pulled(client, tmp_path)
    assert not (tmp_path / "into").exists()


def test_what_is_pinned_to_a_digest_must_have_it(make: Make, model: Path) -> None:
    server = make()
    with registry(server) as client:
        done = push(client, model, Kind.MODEL)
        server.blob_file(done.digest).write_bytes(server.blob_file(done.digest).read_bytes() + b" ")
        with pytest.raises(OciError):
            client.manifest(done.digest)


def test_what_is_not_there_is_named(make: Make, tmp_path: Path) -> None:
    with registry(make(), "team/nothing:v9") as client, pytest.raises(NotFound, match="no manifest v9"):
        pulled(client, tmp_path)


def test_the_right_password_over_tls(make: Make, model: Path, tmp_path: Path) -> None:
    ca, _ = certificate.make(tmp_path)
    server = make(certificate=(ca, tmp_path / "key.pem"), passwords=True)
    with registry(server, credentials=Credentials(USER, PASSWORD), ca=ca) as client:
        push(client, model, Kind.MODEL)
        assert (pulled(client, tmp_path) / "config.json").is_file()


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


def test_an_index_gives_the_image_for_this_kind_of_machine(make: Make, model: Path, tmp_path: Path) -> None:
    server = make()
    with registry(server) as client:
        done = push(client, model, Kind.MODEL)
        size = len(client.manifest(done.digest).content)
        entries = [
            {
                "mediaType": OCI_MANIFEST,
                "digest": done.digest,
                "size": size,
                "platform": {"os": "linux", "architecture": a},
            }
            for a in ("arm64", "amd64")
        ]
        index = json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries}).encode()
        client.put_manifest("all", OCI_INDEX, index)
    with registry(server, "team/model:all") as client:
        manifest, digest = resolve(client, HASTY)
        assert isinstance(manifest, Manifest)
        assert digest == done.digest


def test_pods_of_a_node_share_what_they_have(make: Make, model: Path, tmp_path: Path) -> None:
    with registry(make()) as client:
        push(client, model, Kind.MODEL)
        store = tmp_path / "store"
        ran: list[BaseException] = []

        def one(number: int) -> None:
            try:
                pull(client, Kind.MODEL, tmp_path / f"pod-{number}", Store(store), patience=HASTY)
            except BaseException as error:
                ran.append(error)

        pods = [threading.Thread(target=one, args=(number,)) for number in range(3)]
        for pod in pods:
            pod.start()
        for pod in pods:
            pod.join()
    assert not ran
    assert len({(tmp_path / f"pod-{number}").resolve() for number in range(3)}) == 1
    assert not list((store / "parts").glob("*.part"))


def test_more_than_may_be_pulled_is_not(make: Make, model: Path, tmp_path: Path) -> None:
    with registry(make()) as client:
        push(client, model, Kind.MODEL)
        with pytest.raises(OciError, match=r"has 48.0 MiB, and at most 1.0 MiB may be pulled"):
            pulled(client, tmp_path, limits=Limits(bytes=2**20))


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

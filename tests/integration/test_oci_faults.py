"""A registry that dies, a pull that is cut off, and bytes that are not those that were pushed."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from services.inference.oci.errors import Hostile, OciError, Passing
from services.inference.oci.names import Kind
from services.inference.oci.pack_format import Format
from services.inference.oci.patience import Patience
from services.inference.oci.pull import Limits, pull, resolve
from services.inference.oci.push import push
from services.inference.oci.store import Store
from tests.integration.oci_fixtures import HASTY, LARGE, Make, files, make, model, pulled, registry

__all__ = ["make", "model"]


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

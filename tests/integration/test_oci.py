"""Files go into a real registry and come out of it."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest

from services.inference.oci.errors import NotFound, OciError
from services.inference.oci.manifest import OCI_INDEX, OCI_MANIFEST, Manifest
from services.inference.oci.names import Kind
from services.inference.oci.pack_format import Format
from services.inference.oci.pull import Limits, pull, resolve
from services.inference.oci.push import push
from services.inference.oci.store import Store
from tests.integration.oci_fixtures import HASTY, Make, files, make, model, pulled, registry

__all__ = ["make", "model"]


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


def test_what_is_not_there_is_named(make: Make, tmp_path: Path) -> None:
    with registry(make(), "team/nothing:v9") as client, pytest.raises(NotFound, match="no manifest v9"):
        pulled(client, tmp_path)


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

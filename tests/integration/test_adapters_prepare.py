"""Adapters from registries, addresses and volumes, good and bad: what is prepared for the engine, or what is said."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import tarfile
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from services.inference.adapters.job import Base, Job, Prepared
from services.inference.adapters.prepare import answer
from services.inference.adapters.process import prepare_apart
from services.inference.adapters.wanted import Adapter, AdapterError, Mounts
from services.inference.oci.client import Registry
from services.inference.oci.credentials import Credentials
from services.inference.oci.names import Kind
from services.inference.oci.push import push
from services.inference.oci.reference import parse_reference
from tests.lora.files import BASE, matrices, safetensors, write_adapter
from tests.registry.archives import archive, entry
from tests.registry.binary import registry_binary
from tests.registry.server import PASSWORD, USER, RegistryServer, docker_config

SMALL = matrices(layers=2, size=16)
CONFIG, MATRICES = "adapter_config.json", "adapter_model.safetensors"


class Place:
    """A pod's folders. The model that it serves has two layers."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.volume, self.secret, self.model = folder / "volume", folder / "secret", folder / "model"
        for made in (self.volume, self.secret, self.model):
            made.mkdir()
        weights = {name.removeprefix("base_model.model.").replace("lora_A.", ""): m for name, m in SMALL.items()}
        square = {name: ((16, 16), (values * 4)[:256]) for name, (_, values) in weights.items() if "lora" not in name}
        (self.model / "model.safetensors").write_bytes(safetensors(square))

    def job(self, **adapter: object) -> Job:
        """The job to prepare an adapter."""
        return Job(
            adapter=Adapter.model_validate({"name": "a", **adapter}),
            mounts=Mounts(secrets={"registry": str(self.secret)}, volumes={"v": str(self.volume)}),
            base=Base(id=BASE, folder=str(self.model), max_rank=8),
            home=str(self.folder / "home"),
        )

    def prepared(self, **adapter: object) -> Prepared:
        """What is prepared; there must be no error."""
        found = answer(self.job(**adapter))
        assert found.prepared is not None, found.error
        return found.prepared

    def refused(self, **adapter: object) -> str:
        """What is said of an adapter that cannot be prepared, of which nothing must be left to load."""
        found = answer(self.job(**adapter))
        assert found.prepared is None
        assert found.error is not None
        assert list((self.folder / "home" / "ready").glob("[!.]*")) == []
        return found.error


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


class TestVolume:
    """A volume is mounted; what lies in it is only read."""

    def test_what_the_engine_loads_is_a_copy_with_the_strength_in_its_config(self, place: Place) -> None:
        write_adapter(place.volume, SMALL, lora_alpha=8)
        before = {path: path.read_bytes() for path in place.volume.iterdir()}
        found = place.prepared(volume="v", strength=0.25)
        assert json.loads((Path(found.folder) / CONFIG).read_text())["lora_alpha"] == 2
        assert (Path(found.folder) / MATRICES).read_bytes() == before[place.volume / MATRICES]
        assert {path: path.read_bytes() for path in place.volume.iterdir()} == before
        assert found.rank == 4

    def test_only_another_content_or_strength_has_another_folder(self, place: Place) -> None:
        write_adapter(place.volume, SMALL)
        folders = [place.prepared(volume="v", strength=strength).folder for strength in (1, 0.5, 1)]
        assert folders[0] == folders[2] != folders[1]
        write_adapter(place.volume, matrices(7, layers=2, size=16))
        assert place.prepared(volume="v").folder not in folders

    def test_a_volume_may_hold_several_adapters_by_their_names(self, place: Place) -> None:
        for seed, name in enumerate(("a", "b")):
            write_adapter(place.volume / name, matrices(seed, layers=2, size=16))
        assert place.prepared(volume="v", name="a").digest != place.prepared(volume="v", name="b").digest

    def test_one_of_another_architecture_is_refused_before_the_engine_sees_it(self, place: Place) -> None:
        write_adapter(place.volume, matrices(layers=2, size=16, module="transformer.h.{}.attn"))
        assert f"changes transformer.h.0.attn and 1 more, which {BASE} does not have" in place.refused(volume="v")
        write_adapter(place.volume, matrices(layers=2, size=32))
        assert f"32 x 32, and in {BASE} that is 16 x 16" in place.refused(volume="v")
        write_adapter(place.volume, SMALL, base_model_name_or_path="org/other")
        assert place.refused(volume="v").startswith(f"It was made for org/other, and {BASE} is served here")

    def test_a_rank_that_there_is_no_room_for_says_what_to_set(self, place: Place) -> None:
        write_adapter(place.volume, matrices(layers=2, size=16, rank=12), r=12)
        assert "Set vllm.max-lora-rank to 16" in place.refused(volume="v")

    def test_pickles_are_refused(self, place: Place) -> None:
        write_adapter(place.volume, SMALL)
        (place.volume / MATRICES).rename(place.volume / "adapter_model.bin")
        assert "hold Python pickles, which run code" in place.refused(volume="v")

    def test_weights_under_another_name_are_told(self, place: Place) -> None:
        write_adapter(place.volume, SMALL)
        (place.volume / MATRICES).rename(place.volume / "model.safetensors")
        assert f"There is no {MATRICES} in it" in place.refused(volume="v")

    def test_a_file_that_is_cut_short_is_told(self, place: Place) -> None:
        write_adapter(place.volume, SMALL)
        os.truncate(place.volume / MATRICES, 500)
        assert "cut short" in place.refused(volume="v")

    def test_an_empty_volume_and_one_that_is_not_mounted(self, place: Place) -> None:
        assert "no files of a adapter" in place.refused(volume="v")
        assert "not mounted yet" in place.refused(volume="other")

    def test_a_full_disk_is_told_and_leaves_nothing_half(self, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
        write_adapter(place.volume, SMALL)

        def full(*_: object) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr("services.inference.adapters.prepare.shutil.copyfile", full)
        assert place.refused(volume="v") == "The disk is full."
        monkeypatch.undo()
        assert place.prepared(volume="v")


@pytest.fixture
async def registry(tmp_path: Path) -> AsyncIterator[RegistryServer]:
    server = RegistryServer(await registry_binary(), tmp_path / "registry", passwords=True)
    yield server.start()
    server.kill()


@pytest.fixture
def pushed(place: Place, registry: RegistryServer) -> Callable[[Path], str]:
    """Pushes a folder, and gives the digest; the pod has the password."""
    (place.secret / ".dockerconfigjson").write_text(docker_config(registry.host))

    def one(folder: Path) -> str:
        with Registry(parse_reference(f"{registry.host}/a:v1"), Credentials(USER, PASSWORD)) as client:
            return push(client, folder, Kind.ADAPTER).digest

    return one


class TestRegistry:
    """An image or artifact."""

    def test_it_is_pulled_with_the_secret_and_told_by_its_digest(
        self, place: Place, registry: RegistryServer, pushed: Callable[[Path], str]
    ) -> None:
        digest = pushed(write_adapter(place.folder / "made", SMALL))
        image = f"{registry.host}/a:v1"
        assert place.prepared(image=image, pullSecrets=["registry"]).digest == digest
        assert place.prepared(image=f"{registry.host}/a@{digest}", pullSecrets=["registry"]).digest == digest

    def test_without_the_secret_it_is_said_what_is_missing(
        self, place: Place, registry: RegistryServer, pushed: Callable[[Path], str]
    ) -> None:
        pushed(write_adapter(place.folder / "made", SMALL))
        assert "without credentials" in place.refused(image=f"{registry.host}/a:v1")
        assert "not mounted yet" in place.refused(image=f"{registry.host}/a:v1", pullSecrets=["other"])

    def test_a_digest_that_is_not_there_is_told(
        self, place: Place, registry: RegistryServer, pushed: Callable[[Path], str]
    ) -> None:
        pushed(write_adapter(place.folder / "made", SMALL))
        other = f"{registry.host}/a@sha256:{'0' * 64}"
        assert "0000" in place.refused(image=other, pullSecrets=["registry"])

    def test_bytes_that_were_changed_in_the_registry_are_never_used(
        self, place: Place, registry: RegistryServer, pushed: Callable[[Path], str]
    ) -> None:
        pushed(write_adapter(place.folder / "made", SMALL))
        blobs = [path for path in (registry.blob_file("sha256:00").parents[2]).rglob("data") if path.is_file()]
        for blob in blobs:
            content = blob.read_bytes()
            blob.write_bytes(content.replace(b"lora_A", b"lora_X"))
        assert "not those that the digest names" in place.refused(
            image=f"{registry.host}/a:v1", pullSecrets=["registry"]
        )

    async def test_the_process_is_killed_when_nobody_waits_any_more(self, place: Place) -> None:
        """As when the adapter is taken from the list while its registry does not answer."""
        before = _children()
        async with asyncio.timeout(30):
            silent = await asyncio.start_server(lambda *_: asyncio.sleep(3600), "127.0.0.1", 0)
            port = silent.sockets[0].getsockname()[1]
            task = asyncio.create_task(prepare_apart(place.job(image=f"127.0.0.1:{port}/a:v1")))
            while not (children := _children() - before):
                await asyncio.sleep(0.01)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert not children & _children()
            silent.close()

    async def test_a_registry_that_dies_is_told_and_the_next_try_brings_it(
        self, place: Place, registry: RegistryServer, pushed: Callable[[Path], str]
    ) -> None:
        digest = pushed(write_adapter(place.folder / "made", SMALL))
        job = place.job(image=f"{registry.host}/a:v1", pullSecrets=["registry"])
        registry.kill()
        with pytest.raises(AdapterError, match="does not answer"):
            await prepare_apart(job)
        registry.start()
        assert (await prepare_apart(job)).digest == digest


def _children() -> set[int]:
    """The processes that this one has started and that still run."""
    return {int(pid) for pid in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()}


@pytest.fixture
def site(place: Place, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Path, str]]:
    """A folder, and the address under which it is served; the cluster's owner allows this network."""
    folder = place.folder / "site"
    folder.mkdir()
    monkeypatch.setenv("KAITOBUS_URL_NETWORKS", "127.0.0.0/8")
    monkeypatch.setenv("KAITOBUS_URL_PLAIN_HTTP", "true")
    handler = partial(_Quiet, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield folder, f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Say nothing."""


class TestUrls:
    """Addresses of files, or of an archive."""

    def test_files_by_address(self, place: Place, site: tuple[Path, str]) -> None:
        folder, url = site
        write_adapter(folder, SMALL)
        assert place.prepared(urls=[f"{url}/{CONFIG}?download=true", f"{url}/{MATRICES}"]).rank == 4

    @pytest.mark.parametrize("name", ["adapter.tar", "adapter.tar.gz", "adapter.tgz"])
    def test_an_archive_by_address(self, place: Place, site: tuple[Path, str], name: str) -> None:
        folder, url = site
        made = write_adapter(place.folder / "made", SMALL)
        with tarfile.open(folder / name, "w" if name.endswith(".tar") else "w:gz") as tar:
            tar.add(made, "my-adapter")
        assert place.prepared(urls=[f"{url}/{name}"]).rank == 4

    def test_a_page_instead_of_a_file_is_told_and_asked_for_anew(self, place: Place, site: tuple[Path, str]) -> None:
        folder, url = site
        write_adapter(folder, SMALL)
        config = (folder / CONFIG).read_text()
        (folder / CONFIG).write_text("<!doctype html><title>Log in</title>")
        urls = [f"{url}/{CONFIG}", f"{url}/{MATRICES}"]
        assert "adapter_config.json is a web page" in place.refused(urls=urls)
        (folder / CONFIG).write_text(config)
        assert place.prepared(urls=urls)

    def test_a_page_in_place_of_the_weights(self, place: Place, site: tuple[Path, str]) -> None:
        folder, url = site
        write_adapter(folder, SMALL)
        (folder / MATRICES).write_text("<html><body>" + "x" * 1000)
        assert f"{MATRICES} is no safetensors file" in place.refused(urls=[f"{url}/{CONFIG}", f"{url}/{MATRICES}"])

    @pytest.mark.parametrize(
        ("entries", "whole", "words"),
        [
            ([entry("../../etc/passwd")], True, "leads out of the folder"),
            ([entry("/etc/passwd")], True, "is absolute"),
            ([entry(MATRICES, kind=tarfile.SYMTYPE, link="/etc/passwd")], True, "a link to '/etc/passwd'"),
            ([entry(MATRICES, size=2**45)], True, "may be pulled"),
            ([entry(MATRICES, b"x" * 4000, size=8000)], False, "no whole archive"),
            ([entry("adapter_model.bin"), entry(CONFIG)], True, "Python pickles"),
            ([entry("README.md")], True, "no adapter: there is no adapter_config.json"),
        ],
    )
    def test_a_hostile_or_broken_archive(
        self, place: Place, site: tuple[Path, str], entries: list[bytes], whole: bool, words: str
    ) -> None:
        folder, url = site
        archive(folder / "a.tar", entries, whole=whole)
        assert words in place.refused(urls=[f"{url}/a.tar"])
        assert not list(place.folder.parent.glob("passwd"))

    def test_one_that_is_not_there(self, place: Place, site: tuple[Path, str]) -> None:
        assert "is not there (404)" in place.refused(urls=[f"{site[1]}/{CONFIG}?token=s3cret"])
        assert "s3cret" not in place.refused(urls=[f"{site[1]}/{CONFIG}?token=s3cret"])

    def test_the_network_of_the_cluster_is_not_reached_unless_its_owner_says_so(
        self, place: Place, site: tuple[Path, str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv("KAITOBUS_URL_NETWORKS")
        assert "not of the public internet" in place.refused(urls=[f"{site[1]}/{CONFIG}"])
        monkeypatch.delenv("KAITOBUS_URL_PLAIN_HTTP")
        assert "Use https" in place.refused(urls=[f"{site[1]}/{CONFIG}"])

"""Adapters from addresses: what is prepared for the engine, or what is said."""

from __future__ import annotations

import tarfile
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.integration.adapters_place import CONFIG, MATRICES, SMALL, Place, place
from tests.lora.files import write_adapter
from tests.registry.archives import archive, entry

__all__ = ["place"]


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

"""Archives are hostile: nothing is written outside of the folder, and nothing without end."""

from __future__ import annotations

import contextlib
import gzip
import tarfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.inference.oci.errors import Hostile, OciError
from services.inference.oci.names import safe_path
from services.inference.oci.unpack import Bounds, Unpacked, unpack
from tests.registry.archives import archive, entry, listing, plain_tar

ROOMY = Bounds(bytes=10 * 2**20)


def unpacked(path: Path, bounds: Bounds = ROOMY, *, gzipped: bool = False, of_image: bool = False) -> Unpacked:
    """Unpack beside the archive."""
    into = path.with_name("into")
    into.mkdir(exist_ok=True)
    return unpack(path, into, bounds, gzipped=gzipped, of_image=of_image)


@pytest.mark.parametrize(
    "name", ["../evil.json", "a/../../evil.json", "/etc/evil.json", "a/b/../../../evil.json", "..", "a\\..\\evil.json"]
)
@pytest.mark.parametrize("of_image", [False, True])
def test_names_that_lead_out_are_refused(tmp_path: Path, name: str, of_image: bool) -> None:
    path = archive(tmp_path / "a.tar", [entry(f"data/{name}" if of_image and not name.startswith("/") else name)])
    if of_image and name.startswith("/"):
        unpacked(path, of_image=True)  # of an image only what is below its data is looked at
    else:
        with pytest.raises(Hostile):
            unpacked(path, of_image=of_image)
    assert {p.name for p in tmp_path.iterdir()} == {"a.tar", "into"}
    assert not listing(tmp_path / "into")


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (tarfile.SYMTYPE, "a link to '/etc/passwd'"),
        (tarfile.LNKTYPE, "a link to '/etc/passwd'"),
        (tarfile.CHRTYPE, "a device"),
        (tarfile.BLKTYPE, "a device"),
        (tarfile.FIFOTYPE, "a device or pipe"),
    ],
)
def test_only_plain_files_are_taken(tmp_path: Path, kind: bytes, words: str) -> None:
    path = archive(tmp_path / "a.tar", [entry("data/x.json", kind=kind, link="/etc/passwd", size=0)])
    with pytest.raises(Hostile, match=words):
        unpacked(path, of_image=True)


def test_a_file_below_a_link_is_not_written_through_it(tmp_path: Path) -> None:
    path = archive(
        tmp_path / "a.tar", [entry("data", kind=tarfile.SYMTYPE, link="/tmp", size=0), entry("data/evil.json")]
    )
    with pytest.raises(Hostile):
        unpacked(path)


def test_links_and_devices_of_the_rest_of_an_image_are_passed_over(tmp_path: Path) -> None:
    entries = [
        entry("bin", kind=tarfile.SYMTYPE, link="usr/bin", size=0),
        entry("dev/null", kind=tarfile.CHRTYPE, size=0),
        entry("data/config.json", b"{}"),
    ]
    unpacked(archive(tmp_path / "a.tar", entries), of_image=True)
    assert listing(tmp_path / "into") == {"data/config.json": b"{}"}


def test_an_entry_that_claims_more_than_may_come(tmp_path: Path) -> None:
    path = archive(tmp_path / "a.tar", [entry("x.json", size=2**40)], whole=False)
    with pytest.raises(Hostile, match="claims"):
        unpacked(path)


def test_many_entries_that_together_are_too_much(tmp_path: Path) -> None:
    path = archive(tmp_path / "a.tar", [entry(f"{n}.json", bytes(1000)) for n in range(20)])
    with pytest.raises(Hostile, match="claims"):
        unpacked(path, Bounds(bytes=10_000))


def test_a_compression_bomb_is_cut_short(tmp_path: Path) -> None:
    path = archive(tmp_path / "a.tar.gz", [entry("skipped.json", bytes(50 * 2**20))], gzipped=True)
    assert path.stat().st_size < 2**20
    with pytest.raises(Hostile):
        unpacked(path, Bounds(bytes=2**20, entries=100), gzipped=True, of_image=True)


def test_too_many_entries(tmp_path: Path) -> None:
    path = archive(tmp_path / "a.tar", [entry(f"{n}.json") for n in range(20)])
    with pytest.raises(Hostile, match="more than 10 entries"):
        unpacked(path, Bounds(bytes=2**20, entries=10))


@pytest.mark.parametrize("kind", [tarfile.GNUTYPE_LONGNAME, tarfile.XHDTYPE, tarfile.XGLTYPE])
def test_an_extended_header_without_end_is_not_read_into_memory(tmp_path: Path, kind: bytes) -> None:
    path = archive(tmp_path / "a.tar", [entry("x", kind=kind, size=2**33)], whole=False)
    with pytest.raises(Hostile, match="no name needs"):
        unpacked(path)


def test_a_sparse_file_is_refused(tmp_path: Path) -> None:
    path = archive(tmp_path / "a.tar", [entry("x.json", kind=tarfile.GNUTYPE_SPARSE)])
    with pytest.raises(Hostile, match="sparse"):
        unpacked(path)


@pytest.mark.parametrize("cut", [100, 600, 1500])
@pytest.mark.parametrize("gzipped", [False, True])
def test_an_archive_that_was_cut_off(tmp_path: Path, cut: int, gzipped: bool) -> None:
    whole = plain_tar({"a.json": bytes(range(256)) * 4, "b.json": bytes(range(256)) * 4})
    data = gzip.compress(whole)[: cut // 5] if gzipped else whole[:cut]
    path = tmp_path / "a.tar"
    path.write_bytes(data)
    with pytest.raises(Hostile):
        unpacked(path, gzipped=gzipped)


def test_a_file_and_a_folder_of_one_name(tmp_path: Path) -> None:
    with pytest.raises(Hostile, match="as a file and as a folder"):
        unpacked(archive(tmp_path / "a.tar", [entry("a.json"), entry("a.json/b.json")]))
    with pytest.raises(Hostile, match="as a folder and as a file"):
        unpacked(archive(tmp_path / "b.tar", [entry("c.json/b.json"), entry("c.json")]))


def test_whiteouts_are_handed_back(tmp_path: Path) -> None:
    path = archive(tmp_path / "a.tar", [entry("data/.wh.old.json", b""), entry("data/sub/.wh..wh..opq", b"")])
    assert unpacked(path, of_image=True) == Unpacked(removed=("data/old.json",), emptied=("data/sub",))


@pytest.mark.parametrize("name", ["data/.wh...", "data/.wh."])
def test_a_whiteout_deletes_nothing_outside(tmp_path: Path, name: str) -> None:
    try:
        found = unpacked(archive(tmp_path / "a.tar", [entry(name, b"")]), of_image=True)
    except Hostile:
        return
    assert all(path.startswith("data") and ".." not in path for path in found.removed)


def test_files_get_modes_of_ours(tmp_path: Path) -> None:
    info = tarfile.TarInfo("x.json")
    info.mode = 0o6777
    unpacked(archive(tmp_path / "a.tar", [info.tobuf()]))
    assert (tmp_path / "into/x.json").stat().st_mode & 0o7777 == 0o444


@given(st.binary(max_size=3000))
def test_any_bytes_are_an_archive_or_hostile(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    folder = tmp_path_factory.mktemp("any")
    (folder / "a.tar").write_bytes(data)
    for gzipped in (False, True):
        with contextlib.suppress(Hostile):
            unpacked(folder / "a.tar", gzipped=gzipped)
    assert {p.name for p in folder.iterdir()} == {"a.tar", "into"}


@given(st.integers(0, 511), st.integers(0, 255))
def test_a_header_with_a_wrong_byte_does_no_harm(
    tmp_path_factory: pytest.TempPathFactory, place: int, value: int
) -> None:
    folder = tmp_path_factory.mktemp("byte")
    data = bytearray(plain_tar({"data/x.json": b"1234"}))
    data[place] = value
    (folder / "a.tar").write_bytes(data)
    with contextlib.suppress(Hostile):
        unpacked(folder / "a.tar")
    assert {p.name for p in folder.iterdir()} == {"a.tar", "into"}


@given(st.text(max_size=300))
def test_a_safe_path_stays_inside(name: str) -> None:
    try:
        path = safe_path(name)
    except OciError:
        return
    assert not path.is_absolute()
    assert ".." not in path.parts
    assert Path("/root", path).resolve().is_relative_to("/root") or path.parts[0] == "root"

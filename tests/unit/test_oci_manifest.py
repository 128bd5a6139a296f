"""What manifests say, what layers are, and which files are let through."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.inference.oci.errors import Hostile, OciError
from services.inference.oci.layers import Packing, layers_of
from services.inference.oci.manifest import (
    OCI_CONFIG,
    TITLE,
    Descriptor,
    Index,
    Manifest,
    choose_manifest,
    read_manifest,
)
from services.inference.oci.names import Kind, is_wanted
from services.inference.oci.pack_format import Format
from services.inference.oci.push import plan_blobs
from services.inference.oci.tree import Content, assemble, check_kind, root_of
from services.inference.oci.unpack import Unpacked
from services.inference.oci.view import view

DIGEST = "sha256:" + "0" * 64
DOCKER_TAR = "application/vnd.docker.image.rootfs.diff.tar.gzip"
TAR = "application/vnd.oci.image.layer.v1.tar"


def layer(media_type: str = "application/octet-stream", title: str | None = None, **notes: str) -> dict[str, object]:
    known = ({TITLE: title} if title else {}) | notes
    return {"mediaType": media_type, "digest": DIGEST, "size": 1, "annotations": known}


def manifest(*layers: dict[str, object], config: str = "application/vnd.oci.empty.v1+json") -> Manifest:
    found = read_manifest(json.dumps({"config": layer(config), "layers": layers}).encode(), "test")
    assert isinstance(found, Manifest)
    return found


def entry(os: str, architecture: str) -> Descriptor:
    platform = {"os": os, "architecture": architecture}
    kind = "application/vnd.oci.image.manifest.v1+json"
    return Descriptor.model_validate({"mediaType": kind, "digest": DIGEST, "size": 1, "platform": platform})


def model(folder: Path, *names: str) -> Path:
    for name in names or ("config.json", "model.safetensors"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    return folder


def test_the_image_for_this_kind_of_machine_is_taken() -> None:
    entries = [entry("linux", "arm64"), entry("linux", "amd64"), entry("unknown", "unknown")]
    assert choose_manifest(entries, "x") is entries[1]


def test_the_only_image_is_taken_whatever_it_is_for() -> None:
    entries = [entry("linux", "arm64"), entry("unknown", "unknown")]
    assert choose_manifest(entries, "x") is entries[0]


def test_no_image_for_this_kind_of_machine() -> None:
    with pytest.raises(OciError, match="it has linux/arm64, linux/s390x"):
        choose_manifest([entry("linux", "arm64"), entry("linux", "s390x")], "x")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"\xff",
        b'{"config": 1}',
        b'{"manifests": 1}',
        b'{"config": {"mediaType": "x", "digest": "sha256:1"}}',
        json.dumps({"config": layer() | {"size": -1}}).encode(),
        b"[" * 100000,
    ],
)
def test_what_is_no_manifest(content: bytes) -> None:
    with pytest.raises(Hostile):
        read_manifest(content, "x")


@given(
    st.recursive(
        st.none() | st.text() | st.integers(), lambda v: st.lists(v) | st.dictionaries(st.text(), v), max_leaves=20
    )
)
def test_any_json_is_a_manifest_or_refused(value: object) -> None:
    with contextlib.suppress(OciError):
        assert isinstance(read_manifest(json.dumps(value).encode(), "x"), (Manifest, Index))


def test_files_by_name_and_archives_by_type() -> None:
    found = layers_of(
        manifest(
            layer(title="config.json"),
            layer(TAR, "all.tar"),
            layer(f"{TAR}+gzip"),
            layer(DOCKER_TAR),
        ),
        Kind.MODEL,
        "x",
    )
    assert [(one.packing, one.name) for one in found] == [
        (Packing.FILE, "config.json"),
        (Packing.TAR, None),
        (Packing.TAR_GZIP, None),
        (Packing.TAR_GZIP, None),
    ]


@pytest.mark.parametrize("name", ["pytorch_model.bin", "a/model.PT", "x.pkl", "m.ckpt", "consolidated.00.pth"])
def test_pickles_are_refused_by_name_with_the_reason(name: str) -> None:
    with pytest.raises(OciError, match="hold Python pickles, which run code"):
        layers_of(manifest(layer(title=name), layer(title="config.json")), Kind.MODEL, "x")


@pytest.mark.parametrize(
    ("layers", "words"),
    [
        ([layer(title="a.json"), layer(title="./a.json")], "two layers for the file"),
        ([layer(title="../a.json")], "leads out"),
        ([layer(title="/a.json")], "absolute"),
        ([layer()], "neither an archive nor has a name"),
        ([layer(f"{TAR}+zstd")], "zstd"),
        ([layer(title="run.py")], "holds no files of a model: it has run.py"),
        ([], "holds no files of a model"),
    ],
)
def test_layers_that_are_refused(layers: list[dict[str, object]], words: str) -> None:
    with pytest.raises(OciError, match=words):
        layers_of(manifest(*layers), Kind.MODEL, "x")


def test_of_an_image_only_its_data_is_read() -> None:
    (one,) = layers_of(manifest(layer(TAR), config=OCI_CONFIG), Kind.MODEL, "x")
    assert one.of_image


@pytest.mark.parametrize(
    "name",
    [
        "model.safetensors",
        "config.json",
        "tokenizer.model",
        "merges.txt",
        "chat_template.jinja",
        "LICENSE",
        "a.tiktoken",
    ],
)
def test_what_a_model_needs_is_let_through(name: str) -> None:
    assert is_wanted(Kind.MODEL, name)


@pytest.mark.parametrize("name", ["modeling.py", "libx.so", "a.safetensors.sh", ".gitattributes", "x.gguf"])
def test_what_holds_code_is_left_out(name: str) -> None:
    assert not is_wanted(Kind.MODEL, name)


def test_data_may_be_tables() -> None:
    assert is_wanted(Kind.DATA, "train.parquet")
    assert not is_wanted(Kind.MODEL, "train.parquet")


def test_upper_layers_win_and_take_away(tmp_path: Path) -> None:
    low = model(tmp_path / "low", "data/config.json", "data/model.safetensors", "data/old.json", "data/sub/a.json")
    high = model(tmp_path / "high", "data/config.json")
    (high / "data/config.json").write_text("new")
    taken = Unpacked(removed=("data/old.json",), emptied=("data/sub",))
    (tmp_path / "draft").mkdir()
    assemble([Content(low), Content(high, taken=taken)], Kind.MODEL, tmp_path / "draft")
    root = root_of(tmp_path / "draft")
    assert {p.name: p.read_text() for p in root.iterdir() if p.is_file()} == {
        "config.json": "new",
        "model.safetensors": "data/model.safetensors",
    }


@pytest.mark.parametrize("inside", ["data", "models/phi", "anything", ""])
def test_the_folder_of_the_files_is_found(tmp_path: Path, inside: str) -> None:
    model(tmp_path / "tree" / inside)
    assert root_of(tmp_path / "tree") == tmp_path / "tree" / inside


def test_what_is_no_model_is_said(tmp_path: Path) -> None:
    with pytest.raises(OciError, match=r"no adapter: there is no adapter_config.json. It has config.json"):
        check_kind(model(tmp_path), Kind.ADAPTER)
    with pytest.raises(OciError, match="There are no files of a model"):
        check_kind(tmp_path / "nothing", Kind.MODEL)


class TestFolderThatIsHere:
    """A volume, or a folder of the node."""

    def test_pickles_beside_safetensors_are_left_out(self, tmp_path: Path) -> None:
        model(tmp_path / "volume", "config.json", "model.safetensors", "pytorch_model.bin", "modeling.py")
        view(tmp_path / "volume", Kind.MODEL, tmp_path / "into")
        assert {p.name for p in (tmp_path / "into").iterdir()} == {"config.json", "model.safetensors"}

    def test_pickles_alone_are_refused(self, tmp_path: Path) -> None:
        with pytest.raises(OciError, match="pickles"):
            view(model(tmp_path / "volume", "config.json", "pytorch_model.bin"), Kind.MODEL, tmp_path / "into")
        assert not (tmp_path / "into").exists()

    def test_it_may_be_looked_at_again(self, tmp_path: Path) -> None:
        for _ in range(2):
            view(model(tmp_path / "volume"), Kind.MODEL, tmp_path / "into")
        assert (tmp_path / "into/config.json").is_file()


class TestLayersOfAnImage:
    """Each large file is a layer, and runtimes can stack them."""

    @given(st.lists(st.sampled_from([1, 17 * 2**20]), min_size=1, max_size=300))
    def test_never_more_than_runtimes_stack_and_each_file_once(self, sizes: list[int]) -> None:
        files = [(f"{number}", _Sized(size)) for number, size in enumerate(sizes)]
        blobs = plan_blobs(files, Format.IMAGE)  # type: ignore[arg-type]
        assert len(blobs) <= 100
        assert sorted(name for blob in blobs for name, _ in blob.files) == sorted(name for name, _ in files)

    def test_a_layer_is_an_archive_of_the_size_that_it_says(self, tmp_path: Path) -> None:
        folder = model(tmp_path)
        (blob,) = plan_blobs([(p.name, p) for p in sorted(folder.iterdir())], Format.IMAGE)
        assert len(b"".join(blob.content())) == blob.size


class _Sized:
    """Stands for a file of a size that is never read."""

    def __init__(self, size: int) -> None:
        self.st_size = size

    def stat(self) -> _Sized:
        return self

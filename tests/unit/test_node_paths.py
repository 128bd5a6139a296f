"""The node agent: mount paths, volumes and ports, which a process sees in another place than a container would."""

from __future__ import annotations

from pathlib import Path

import pytest

from deploy.local.node.downward import Place
from deploy.local.node.gpus import free_gpus, wanted_gpus
from deploy.local.node.images import ImageError, Images, untagged
from deploy.local.node.mounts import mount_paths, rewrite
from deploy.local.node.ports import container_port, declared_ports, rewrite_ports
from deploy.local.node.sources import ConfigError, Name, Sources
from deploy.local.node.volumes import volume_files, volume_paths
from tests.unit.node_objects import POD_DIR, make_container, make_pod

PATHS = {"/data": Path("/real/d"), "/data/deep": Path("/real/deep"), "": Path("/never")}
SOURCES = Sources({Name("ConfigMap", "m"): {"a": b"1", "b": b"2"}, Name("Secret", "s"): {"k": b"3"}}, {"": "token"})
PLACE = Place("192.0.2.7", {})


@pytest.mark.parametrize(
    ("text", "real"),
    [
        ("/data", "/real/d"),
        ("/data/x", "/real/d/x"),
        ("--dir=/data/x", "--dir=/real/d/x"),
        ("cat '/data/x' >/data", "cat '/real/d/x' >/real/d"),
        ("/data/deep/x:/data/other", "/real/deep/x:/real/d/other"),
        ('{"path": "/data"}', '{"path": "/real/d"}'),
        ("/database", "/database"),
        ("/data.old", "/data.old"),
        ("/my/data", "/my/data"),
        ("http://host/data", "http://host/data"),
        ("data", "data"),
    ],
)
def test_mount_paths_are_replaced_where_they_stand_as_paths(text: str, real: str) -> None:
    assert rewrite(text, PATHS) == real


def test_a_sub_path_stays_in_its_volume() -> None:
    mount = {"name": "v", "mountPath": "/x/", "subPath": "a/b"}
    assert mount_paths(make_container(volumeMounts=[mount]), {"v": Path("/v")}) == {"/x": Path("/v/a/b")}
    with pytest.raises(ValueError, match="leads out of the volume"):
        mount_paths(make_container(volumeMounts=[mount | {"subPath": "../x"}]), {"v": Path("/v")})


def files(volume: dict[str, object]) -> dict[str, tuple[bytes, int]]:
    pod = make_pod(volumes=[{"name": "v", **volume}])
    found = volume_files(pod, pod.spec.volumes[0], SOURCES, PLACE)
    return {file.path: (file.data, file.mode) for file in found}


def test_files_of_volumes() -> None:
    assert files({"configMap": {"name": "m"}}) == {"a": (b"1", 0o644), "b": (b"2", 0o644)}
    item = {"key": "a", "path": "x/y.sh", "mode": 0o755}
    assert files({"configMap": {"name": "m", "items": [item]}}) == {"x/y.sh": (b"1", 0o755)}
    assert files({"secret": {"secretName": "s", "defaultMode": 0o644}}) == {"k": (b"3", 0o600)}
    sources = [{"serviceAccountToken": {"path": "t"}}, {"secret": {"name": "s"}}]
    assert files({"projected": {"sources": sources}}) == {"t": (b"token", 0o600), "k": (b"3", 0o600)}
    assert files({"configMap": {"name": "none", "optional": True}}) == {}


@pytest.mark.parametrize(
    ("volume", "complaint"),
    [
        ({"configMap": {"name": "none"}}, "volume 'v': ConfigMap 'none' does not exist"),
        ({"configMap": {"name": "m", "items": [{"key": "z", "path": "z"}]}}, "has no key 'z'; it has: a, b"),
    ],
)
def test_a_missing_source_is_named(volume: dict[str, object], complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        files(volume)


def test_a_kind_of_volume_that_is_not_there_is_named() -> None:
    pod = make_pod(volumes=[{"name": "disk", "persistentVolumeClaim": {"claimName": "c"}}])
    with pytest.raises(ConfigError, match="'disk' is of a kind that this node does not provide"):
        volume_paths(pod, POD_DIR)


def test_host_paths_stay_where_they_are() -> None:
    pod = make_pod(volumes=[{"name": "h", "hostPath": {"path": "/etc"}}, {"name": "e", "emptyDir": {}}])
    assert volume_paths(pod, POD_DIR) == {"h": Path("/etc"), "e": POD_DIR / "volumes/e"}


@pytest.mark.parametrize(
    ("argv", "real"),
    [
        (["--port", "5000"], ["--port", "17000"]),
        (["--port=5000"], ["--port=17000"]),
        (["sh", "-c", "serve --port 5000 --host 0.0.0.0"], ["sh", "-c", "serve --port 17000 --host 127.0.0.1"]),
        (["--port", "8080", "--host", "::"], ["--port", "8080", "--host", "127.0.0.1"]),
        (["--host", "db.example", "--port=50001"], ["--host", "db.example", "--port=50001"]),
        (["5000", "--api-port", "5000"], ["5000", "--api-port", "5000"]),
        ([], []),
    ],
)
def test_declared_ports_are_replaced_in_the_command(argv: list[str], real: list[str]) -> None:
    assert rewrite_ports(argv, {5000: 17000}) == real


def test_ports_by_name_and_number() -> None:
    container = make_container(ports=[{"containerPort": 80, "name": "http"}, {"containerPort": 53, "protocol": "UDP"}])
    assert [container_port(container, port) for port in ("http", 80, "8080", "none")] == [80, 80, 8080, None]
    assert declared_ports([container, container]) == [80]


@pytest.mark.parametrize(
    ("reference", "name"),
    [("a", "a"), ("a:1", "a"), ("r:5000/a", "r:5000/a"), ("r:5000/a:1", "r:5000/a"), ("a:1@sha256:ff", "a")],
)
def test_a_reference_without_its_tag(reference: str, name: str) -> None:
    assert untagged(reference) == name


def test_the_whole_reference_wins_over_the_name(tmp_path: Path) -> None:
    file = tmp_path / "images.yaml"
    file.write_text("a: {path: [/any]}\na:2: {path: [/two]}\n")
    assert [Images(file).find(name).path for name in ("a:1", "a:2")] == [("/any",), ("/two",)]
    with pytest.raises(ImageError, match=r"'b' is not known.*Known are: a, a:2"):
        Images(file).find("b")


@pytest.mark.parametrize("text", ["a: {paths: [x]}", "[a]", "a: {"])
def test_a_damaged_images_file_is_named(tmp_path: Path, text: str) -> None:
    file = tmp_path / "images.yaml"
    file.write_text(text)
    with pytest.raises(ImageError, match=r"images\.yaml"):
        Images(file).find("a")


def test_gpus_are_given_once() -> None:
    assert free_gpus(4, {"a": (0, 2)}) == [1, 3]
    assert wanted_gpus(make_container(resources={"limits": {"nvidia.com/gpu": "2"}})) == 2
    assert wanted_gpus(make_container()) == 0

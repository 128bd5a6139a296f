"""`kaitobus pack` as a person runs it, against a real registry; the hub is a server that speaks its protocol."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from services.inference.oci.client import Registry
from services.inference.oci.credentials import Credentials
from services.inference.oci.names import Kind
from services.inference.oci.pull import pull
from services.inference.oci.reference import parse_reference
from services.inference.oci.store import Store
from tests.registry.binary import registry_binary
from tests.registry.hub import COMMIT, FILES, served
from tests.registry.server import PASSWORD, USER, RegistryServer, docker_config


@pytest.fixture
async def registry(tmp_path: Path) -> AsyncIterator[RegistryServer]:
    server = RegistryServer(await registry_binary(), tmp_path / "registry", passwords=True)
    yield server.start()
    server.kill()


@pytest.fixture
def hub() -> Iterator[str]:
    """A hub with one model."""
    with served() as url:
        yield url


@pytest.fixture
def environment(tmp_path: Path, registry: RegistryServer, hub: str) -> dict[str, str]:
    """A person's: Docker's login, the hub, a cache of its own."""
    (tmp_path / "docker").mkdir()
    (tmp_path / "docker/config.json").write_text(docker_config(registry.host))
    own = {"DOCKER_CONFIG": str(tmp_path / "docker"), "HF_ENDPOINT": hub, "HF_HOME": str(tmp_path / "hf")}
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("HF_", "DOCKER_"))}
    return kept | own


def pack(environment: dict[str, str], *arguments: str, told: str = "") -> subprocess.CompletedProcess[str]:
    program = str(Path(sys.executable).with_name("kaitobus"))
    return subprocess.run(
        [program, "pack", *arguments], env=environment, input=told, capture_output=True, text=True, timeout=100
    )


def pulled(reference: str, tmp_path: Path) -> dict[str, bytes]:
    with Registry(parse_reference(reference), Credentials(USER, PASSWORD)) as client:
        pull(client, Kind.MODEL, tmp_path / "into", Store(tmp_path / "store"))
    return {path.name: path.read_bytes() for path in (tmp_path / "into").iterdir()}


def test_a_model_of_the_hub_at_its_commit(
    environment: dict[str, str], registry: RegistryServer, tmp_path: Path
) -> None:
    done = pack(environment, "org/model", f"{registry.host}/team/model:v1", "-o", "json")
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["revision"] == COMMIT
    assert said["reference"] == f"{registry.host}/team/model@{said['digest']}"
    expected = {name: FILES[name] for name in ("config.json", "model.safetensors", "tokenizer.json", "LICENSE")}
    assert pulled(said["reference"], tmp_path) == expected


def test_a_folder_with_a_password_from_standard_input(
    environment: dict[str, str], registry: RegistryServer, tmp_path: Path
) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    for name in ("config.json", "model.safetensors"):
        (folder / name).write_bytes(FILES[name])
    environment["DOCKER_CONFIG"] = str(tmp_path / "nothing")
    login = ("--username", USER, "--password-stdin")
    done = pack(environment, str(folder), f"{registry.host}/team/mine:v1", *login, told=f"{PASSWORD}\n")
    assert done.returncode == 0, done.stderr
    found = re.search(r"presetOptions:\n    image: (\S+@sha256:[0-9a-f]{64})\n", done.stdout)
    assert found, done.stdout
    assert pulled(found[1], tmp_path).keys() == {"config.json", "model.safetensors"}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("org/other", "HOST/m:v1"), "neither a folder org/other here nor such a model on the hub"),
        (("org/model", "HOST/m:v1", "--revision", "no"), "org/model has no revision 'no' on the hub"),
        (("nothing", "HOST/m:v1"), "There is no folder nothing"),
        (("org/model", "HOST/M:v1"), "is no reference to an image"),
        (("org/model", "HOST/m:v1", "--username", "ann"), "--username and --password-stdin belong together"),
        (("org/model", "HOST/m:v1", "--username", "ann", "--password-stdin"), "the registry refuses the credentials"),
        ((".", "HOST/m:v1"), "It is no model"),
    ],
)
def test_what_goes_wrong_is_one_sentence(
    environment: dict[str, str], registry: RegistryServer, arguments: tuple[str, ...], words: str
) -> None:
    done = pack(environment, *(text.replace("HOST", registry.host) for text in arguments), told="wrong\n")
    assert done.returncode == 1
    assert words in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr

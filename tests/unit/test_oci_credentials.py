"""Pull secrets as Kubernetes keeps them."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest

from services.inference.oci.credentials import Credentials, find_credentials, parse_config, read_configs
from services.inference.oci.errors import OciError
from services.inference.oci.reference import parse_reference
from tests.registry.server import docker_config


def auth(user: str, password: str) -> dict[str, str]:
    return {"auth": base64.b64encode(f"{user}:{password}".encode()).decode()}


def found(auths: dict[str, object], reference: str) -> Credentials | None:
    return find_credentials([parse_config({"auths": auths}, "test")], parse_reference(reference))


@pytest.mark.parametrize(
    "place", ["r.example.com", "https://r.example.com", "https://r.example.com/v2/", "r.example.com/"]
)
def test_a_registry_is_found_under_all_its_spellings(place: str) -> None:
    assert found({place: auth("ann", "p:w")}, "r.example.com/team/m") == Credentials("ann", "p:w")


def test_docker_hub_is_found_under_its_old_address() -> None:
    assert found({"https://index.docker.io/v1/": auth("ann", "x")}, "org/model") == Credentials("ann", "x")


def test_the_longest_place_counts() -> None:
    auths: dict[str, object] = {"r.example.com": auth("all", "x"), "r.example.com/team": auth("team", "x")}
    assert found(auths, "r.example.com/team/m") == Credentials("team", "x")
    assert found(auths, "r.example.com/teams/m") == Credentials("all", "x")


def test_an_identity_token() -> None:
    entry = {**auth("0000", ""), "identitytoken": "abc"}
    assert found({"r.example.com": entry}, "r.example.com/m") == Credentials("0000", identity_token="abc")


def test_others_are_not_given_away() -> None:
    assert found({"r.example.com": auth("ann", "x")}, "r.example.com.evil.org/m") is None
    assert found({"r.example.com": auth("ann", "x")}, "r.example.com:444/m") is None


def test_several_secrets_are_read_as_they_are_mounted(tmp_path: Path) -> None:
    for number, (key, text) in enumerate(
        [
            (".dockerconfigjson", docker_config("a.example.com", "ann", "1")),
            (".dockercfg", json.dumps({"b.example.com": auth("bob", "2")})),
        ]
    ):
        (tmp_path / str(number)).mkdir()
        (tmp_path / str(number) / key).write_text(text)
    configs = read_configs([tmp_path / "0", tmp_path / "1"])
    assert find_credentials(configs, parse_reference("a.example.com/m")) == Credentials("ann", "1")
    assert find_credentials(configs, parse_reference("b.example.com/m")) == Credentials("bob", "2")


@pytest.mark.parametrize("text", ["", "[]", "{", '{"auths": {"r": {"auth": "topsecret!"}}}', "[" * 100_000])
def test_what_cannot_be_read_is_said_without_showing_it(tmp_path: Path, text: str) -> None:
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(OciError) as raised:
        read_configs([tmp_path / "config.json"])
    assert "topsecret" not in str(raised.value)


def test_a_secret_of_another_kind_is_named(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("x")
    with pytest.raises(OciError, match="kubectl create secret docker-registry"):
        read_configs([tmp_path])


def test_credentials_are_never_printed() -> None:
    assert "secret" not in repr(Credentials("ann", "secret", "secret"))

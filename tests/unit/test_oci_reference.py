"""References are read as other tools read them, and refused in plain words."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.contracts.model_source import image_source
from services.inference.oci.errors import OciError
from services.inference.oci.reference import Reference, parse_reference

DIGEST = "sha256:" + "0" * 64


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("busybox", Reference("docker.io", "library/busybox")),
        ("org/model:v1", Reference("docker.io", "org/model", "v1")),
        ("index.docker.io/busybox", Reference("docker.io", "library/busybox")),
        ("localhost/model", Reference("localhost", "model")),
        ("localhost:5000/a/b/c:x", Reference("localhost:5000", "a/b/c", "x")),
        ("[::1]:5000/model", Reference("[::1]:5000", "model")),
        (f"r.example.com/m:v@{DIGEST}", Reference("r.example.com", "m", "v", DIGEST)),
        (f"r.example.com:443/m@{DIGEST}", Reference("r.example.com:443", "m", None, DIGEST)),
    ],
)
def test_the_parts(text: str, expected: Reference) -> None:
    assert parse_reference(text) == expected


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "a repository has"),
        ("Upper/Case", "a repository has"),
        ("r.example.com/", "a repository has"),
        ("r.example.com/a//b", "a repository has"),
        ("r.example.com/../etc", "a repository has"),
        ("r.example.com/m:a b", "a tag has"),
        ("r.example.com/m:" + "x" * 129, "a tag has"),
        ("r.example.com/m@sha256:12", "comes a digest"),
        ("r.example.com/m@md5:" + "0" * 32, "comes a digest"),
        ("user:secret@r.example.com/m", "comes a digest"),
        ("https://r.example.com/m", "no name of a registry"),
        ("r.example.com:port/m", "no name of a registry"),
    ],
)
def test_what_is_wrong_is_said(text: str, words: str) -> None:
    with pytest.raises(OciError, match=words):
        parse_reference(text)


def test_docker_hub_answers_under_another_name() -> None:
    assert parse_reference("busybox").host == "registry-1.docker.io"


@pytest.mark.parametrize(
    ("text", "here"),
    [
        ("localhost/m", True),
        ("127.0.0.1:5000/m", True),
        ("127.9.9.9/m", True),
        ("[::1]:5000/m", True),
        ("r.example.com/m", False),
    ],
)
def test_registries_of_this_machine(text: str, here: bool) -> None:
    assert parse_reference(text).loopback is here


@given(st.text(max_size=80))
def test_any_text_is_a_reference_or_refused(text: str) -> None:
    try:
        found = parse_reference(text)
    except OciError:
        return
    assert parse_reference(str(found)) == found


@given(st.from_regex(r"[a-z0-9.:/@\[\]_-]{1,40}", fullmatch=True))
def test_what_a_pod_can_read_is_not_refused_before(text: str) -> None:
    try:
        parse_reference(text)
    except OciError:
        return
    assert image_source(text, (), "image").image == text

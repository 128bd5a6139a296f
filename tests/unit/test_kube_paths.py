"""A name leads to the object of that name, and to nothing else: names come from what users write."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from services.chassis.kube import SECRETS, NoSuchName, ObjectRef
from tests.unit.scripted_api_server import Reply, ScriptedApiServer

ELSEWHERE = ["../../victim/secrets/hf", "..", ".", "a/b", "%2e%2e", "/"]


@pytest.mark.parametrize("name", [*ELSEWHERE, ""])
def test_what_cannot_be_a_name_has_no_path(name: str) -> None:
    with pytest.raises(NoSuchName):
        SECRETS.path("team", name)


@pytest.mark.parametrize("namespace", ELSEWHERE)
def test_nor_has_what_cannot_be_a_namespace(namespace: str) -> None:
    with pytest.raises(NoSuchName):
        SECRETS.path(namespace)


@given(st.text())
def test_whatever_the_name_the_path_stays_within_the_namespace(name: str) -> None:
    try:
        path = SECRETS.path("team", name)
    except NoSuchName:
        return
    sent = URL(f"http://host{path}")
    assert sent.raw_path.split("/")[:-1] == ["", "api", "v1", "namespaces", "team", "secrets"]
    assert (unquote(sent.raw_path.split("/")[-1]), sent.query_string, sent.fragment) == (name, "", "")


@pytest.mark.parametrize("name", [*ELSEWHERE, ""])
async def test_there_is_no_object_of_such_a_name_and_nobody_is_asked(name: str, tmp_path: Path) -> None:
    server = ScriptedApiServer(tmp_path)
    server.replies.append(Reply(b'{"data": {}}'))
    async with server.run() as kube:
        assert await kube.get(ObjectRef(SECRETS, name, "team")) is None
    assert server.seen == []

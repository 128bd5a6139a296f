"""What the client makes of an API server's answers, good and bad."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from services.chassis.kube import (
    CONFIGMAPS,
    BadKubeconfig,
    Conflict,
    Forbidden,
    Gone,
    Idle,
    Invalid,
    JsonObject,
    KubeClient,
    KubeError,
    ObjectRef,
    Unreachable,
)
from services.chassis.kube.backoff import RETRIES, backoff, retry_delay
from services.chassis.kube.transport import asks_for_proxy
from tests.unit.scripted_api_server import (
    Reply,
    ScriptedApiServer,
    configmap,
    expired,
    listing,
    refusal,
    watching,
)

REF = ObjectRef(CONFIGMAPS, "a", "default")


@pytest.fixture
def server(tmp_path: Path) -> ScriptedApiServer:
    return ScriptedApiServer(tmp_path)


async def test_list_items_get_the_kind_that_the_server_leaves_out(server: ScriptedApiServer) -> None:
    server.replies += [listing({"metadata": {"name": "a"}}, version=7)]
    async with server.run() as client:
        found = await client.list(CONFIGMAPS, namespace="default", labels="app=x", fields="metadata.name=a")
    assert found.items == [{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}}]
    assert found.resource_version == "7"
    assert server.seen[0].path == "/api/v1/namespaces/default/configmaps"
    assert server.seen[0].query == {"limit": "500", "labelSelector": "app=x", "fieldSelector": "metadata.name=a"}


async def test_a_long_list_is_read_in_pages(server: ScriptedApiServer) -> None:
    server.replies += [listing(configmap("a"), token="more"), listing(configmap("b"), version=9)]
    async with server.run() as client:
        found = await client.list(CONFIGMAPS)
    assert [item["metadata"] for item in found.items] == [configmap(n)["metadata"] for n in "ab"]
    assert server.seen[1].query["continue"] == "more"
    assert found.resource_version == "9"


@pytest.mark.parametrize("body", [b"<html>Welcome</html>", b"[]", b"{}", b'{"metadata": {}}'])
async def test_what_is_no_list_is_not_taken_for_an_empty_one(server: ScriptedApiServer, body: bytes) -> None:
    server.replies += [listing(configmap("a"), token="more"), Reply(body)]
    async with server.run() as client:
        with pytest.raises(Unreachable, match="the list of configmaps cannot be read"):
            await client.list(CONFIGMAPS)


async def test_a_page_token_that_expired_starts_the_list_over_without_pages(server: ScriptedApiServer) -> None:
    server.replies += [
        listing(configmap("a"), token="more"),
        refusal(410, "Expired"),
        listing(configmap("a"), configmap("b")),
    ]
    async with server.run() as client:
        found = await client.list(CONFIGMAPS)
    assert len(found.items) == 2
    assert server.seen[2].query == {}


@pytest.mark.parametrize("status", [429, 503])
async def test_a_read_that_the_server_puts_off_is_repeated(server: ScriptedApiServer, status: int) -> None:
    server.replies += [refusal(status, "Later", Retry_After="0"), Reply(b'{"kind": "ConfigMap"}')]
    async with server.run() as client:
        assert await client.get(REF) == {"kind": "ConfigMap"}
    assert len(server.seen) == 2


async def test_repeats_are_few(server: ScriptedApiServer) -> None:
    server.replies += [refusal(503, "Later", "busy", Retry_After="0")] * 10
    async with server.run() as client:
        with pytest.raises(KubeError, match="busy"):
            await client.get(REF)
    assert len(server.seen) == 1 + RETRIES


async def test_a_long_wait_is_left_to_the_caller(server: ScriptedApiServer) -> None:
    server.replies += [refusal(503, "Later", Retry_After="3600")]
    async with server.run() as client:
        with pytest.raises(KubeError) as caught:
            await client.get(REF)
    assert caught.value.retry_after == 3600
    assert caught.value.passes


async def test_a_create_that_may_have_worked_is_not_repeated(server: ScriptedApiServer) -> None:
    server.replies += [refusal(503, "Later", Retry_After="0")]
    async with server.run() as client:
        with pytest.raises(KubeError):
            await client.create(CONFIGMAPS, configmap("a"))
    assert len(server.seen) == 1


async def test_a_patch_is_repeated_when_the_connection_breaks(server: ScriptedApiServer) -> None:
    server.replies += [Reply(b"{", then="break"), Reply(b'{"kind": "ConfigMap"}')]
    async with server.run() as client:
        assert await client.merge_patch(REF, {"data": {}}) == {"kind": "ConfigMap"}


@pytest.mark.parametrize(
    ("status", "reason", "kind"),
    [
        (400, "BadRequest", Invalid),
        (403, "Forbidden", Forbidden),
        (409, "AlreadyExists", Conflict),
        (410, "Expired", Gone),
        (422, "Invalid", Invalid),
    ],
)
async def test_a_refusal_keeps_the_servers_words(
    server: ScriptedApiServer, status: int, reason: str, kind: type[KubeError]
) -> None:
    server.replies += [refusal(status, reason, "spec.x is wrong")]
    async with server.run() as client:
        with pytest.raises(kind) as caught:
            await client.create(CONFIGMAPS, configmap("a"))
    assert (caught.value.status, caught.value.reason) == (status, reason)
    assert caught.value.message == "spec.x is wrong"
    assert not caught.value.passes


async def test_an_error_page_of_something_in_between_is_an_error_too(server: ScriptedApiServer) -> None:
    server.replies += [Reply(b"<html>Bad Gateway</html>", 502)]
    async with server.run() as client:
        with pytest.raises(KubeError, match="Bad Gateway") as caught:
            await client.get(REF)
    assert caught.value.passes


async def test_what_is_not_there_is_none_and_deletes_to_false(server: ScriptedApiServer) -> None:
    server.replies += [refusal(404, "NotFound"), refusal(404, "NotFound")]
    async with server.run() as client:
        assert await client.get(REF) is None
        assert await client.delete(REF) is False


async def test_a_server_that_does_not_answer_is_unreachable(server: ScriptedApiServer) -> None:
    async with server.run(timeout=0.2) as client:
        with pytest.raises(Unreachable, match="in time"):
            await client.get(REF)
        assert await client.healthy(timeout=0.1) is False


async def test_a_refused_token_is_read_again_from_the_kubeconfig(server: ScriptedApiServer, tmp_path: Path) -> None:
    server.replies += [refusal(401, "Unauthorized"), Reply(b'{"kind": "ConfigMap"}')]
    async with server.run(user={"token": "old"}) as client:
        path = tmp_path / "kubeconfig"
        path.write_text(path.read_text().replace('"old"', '"new"'))
        assert await client.get(REF) == {"kind": "ConfigMap"}
    assert [seen.headers["Authorization"] for seen in server.seen] == ["Bearer old", "Bearer new"]


async def test_an_exec_plugin_is_asked_again_when_its_token_is_refused(
    server: ScriptedApiServer, tmp_path: Path
) -> None:
    credential = '{"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": %s}'
    plugin = {"apiVersion": "client.authentication.k8s.io/v1", "command": "cat", "args": [str(tmp_path / "token")]}
    server.replies += [refusal(401, "Unauthorized"), Reply(b'{"kind": "ConfigMap"}')]
    (tmp_path / "token").write_text(credential % '{"token": "short-lived"}')
    async with server.run(user={"exec": plugin}) as client:
        (tmp_path / "token").write_text(credential % '{"token": "next"}')
        assert await client.get(REF) == {"kind": "ConfigMap"}
    assert [seen.headers["Authorization"] for seen in server.seen] == ["Bearer short-lived", "Bearer next"]


async def test_a_token_that_stays_refused_is_an_error_at_once(server: ScriptedApiServer) -> None:
    server.replies += [refusal(401, "Unauthorized")] * 3
    async with server.run(user={"token": "secret-word"}) as client:
        for _ in range(2):
            with pytest.raises(Forbidden) as caught:
                await client.get(REF)
            assert "secret-word" not in str(caught.value)
    assert len(server.seen) == 3


async def test_a_watch_hands_out_lines_until_the_server_ends_it(server: ScriptedApiServer) -> None:
    server.watches += [watching(("ADDED", configmap("a", 5)), ("BOOKMARK", configmap("", 6)))]
    async with server.run() as client:
        events = [event async for event in client.watch(CONFIGMAPS, resource_version="4")]
    assert [(event.type, event.resource_version) for event in events] == [("ADDED", "5"), ("BOOKMARK", "6")]
    assert server.seen[0].query["allowWatchBookmarks"] == "true"


async def test_a_watch_from_too_far_back_is_gone(server: ScriptedApiServer) -> None:
    server.watches += [watching(expired())]
    async with server.run() as client:
        with pytest.raises(Gone, match="too old resource version"):
            _ = [event async for event in client.watch(CONFIGMAPS, resource_version="1")]


async def test_a_silent_watch_is_given_up(server: ScriptedApiServer) -> None:
    server.watches += [watching(then="hang")]
    async with server.run() as client:
        with pytest.raises(Idle):
            _ = [e async for e in client.watch(CONFIGMAPS, resource_version="1", idle_seconds=0.1)]


async def test_an_object_of_megabytes_fits_a_line(server: ScriptedApiServer) -> None:
    big = configmap("a") | {"data": {"x": "y" * 6_000_000}}
    server.watches += [watching(("ADDED", big))]
    async with server.run() as client:
        events = [event async for event in client.watch(CONFIGMAPS, resource_version="1")]
    assert events[0].object == big


async def test_kinds_not_met_before_are_looked_up_once(server: ScriptedApiServer) -> None:
    widget: JsonObject = {"apiVersion": "x.io/v1", "kind": "Widget", "metadata": {"name": "w"}}
    found = b'{"resources": [{"name": "widgets/status", "kind": "Widget"}, {"name": "widgets", "kind": "Widget"}]}'
    server.replies += [Reply(found), Reply(b"{}"), Reply(b"{}")]
    async with server.run() as client:
        await client.apply(widget, manager="m")
        await client.apply(widget, manager="m")
    assert [seen.path for seen in server.seen] == ["/apis/x.io/v1", *["/apis/x.io/v1/widgets/w"] * 2]


async def test_a_kind_that_the_server_lacks_is_invalid(server: ScriptedApiServer) -> None:
    server.replies += [refusal(404, "NotFound")]
    async with server.run() as client:
        with pytest.raises(Invalid, match=r"no kind 'Widget' in 'x\.io/v1'"):
            await client.apply({"apiVersion": "x.io/v1", "kind": "Widget"}, manager="m")


async def test_a_missing_kubeconfig_says_where_it_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(BadKubeconfig, match=f"no kubeconfig at {tmp_path}/none"):
        await KubeClient.connect(str(tmp_path / "none"))


@pytest.mark.parametrize("text", ["", "{}", "[]", "a: [", "current-context: x\ncontexts: []\n"])
async def test_a_broken_kubeconfig_is_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "broken"
    path.write_text(text)
    with pytest.raises(BadKubeconfig, match="broken cannot be used"):
        await KubeClient.connect(str(path))


async def test_a_proxy_is_not_asked_for_this_machine(
    server: ScriptedApiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setitem(os.environ, "http_proxy", "http://127.0.0.1:1")
    server.replies += [Reply(b'{"kind": "ConfigMap"}')]
    async with server.run() as client:
        assert await client.get(REF) == {"kind": "ConfigMap"}


def test_waits_double_up_to_a_limit() -> None:
    assert 0.5 <= backoff(1, base=1, cap=8) <= 1
    assert 2 <= backoff(3, base=1, cap=8) <= 4
    assert 4 <= backoff(10_000, base=1, cap=8) <= 8


def test_a_bad_configuration_is_not_tried_again() -> None:
    assert retry_delay(BadKubeconfig("no"), 1, idempotent=True) is None
    assert retry_delay(Unreachable("no"), 1, idempotent=True) is not None
    assert retry_delay(Unreachable("no"), 1, idempotent=False) is None
    assert retry_delay(KubeError(429, "TooMany", ""), 1, idempotent=False) is not None
    assert retry_delay(Conflict(409, "Conflict", ""), 1, idempotent=True) is None


@pytest.mark.parametrize(
    ("url", "proxies", "asked"),
    [
        ("https://10.0.0.1:443", {}, False),
        ("https://10.0.0.1:443", {"https": "http://proxy:3128"}, True),
        ("https://127.0.0.1:6443", {"https": "http://proxy:3128"}, False),
        ("https://localhost:6443", {"https": "http://proxy:3128"}, False),
    ],
)
def test_a_proxy_is_looked_for_only_where_there_is_one(url: str, proxies: dict[str, str], asked: bool) -> None:
    assert asks_for_proxy(url, proxies) is asked

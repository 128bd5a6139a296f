"""List and watch against a server that breaks off, falls silent, forgets and goes away."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

import pytest

from services.chassis.kube import (
    CONFIGMAPS,
    Change,
    Deleted,
    KubeClient,
    ListWatch,
    Synced,
    Upsert,
)
from tests.unit.scripted_api_server import (
    ScriptedApiServer,
    configmap,
    expired,
    listing,
    refusal,
    watching,
)

Events = AsyncGenerator[Change | Synced, None]


@pytest.fixture
def server(tmp_path: Path) -> ScriptedApiServer:
    return ScriptedApiServer(tmp_path)


def list_watch(client: KubeClient, *, idle: float = 5, resync: float = 600, wait: float = 0.02) -> ListWatch:
    return ListWatch(client, CONFIGMAPS, idle_seconds=idle, resync_seconds=resync, max_wait_seconds=wait)


@asynccontextmanager
async def events_of(server: ScriptedApiServer, **times: float) -> AsyncIterator[tuple[ListWatch, Events]]:
    async with server.run() as client:
        watcher = list_watch(client, **times)
        async with aclosing(watcher.events()) as events:
            yield watcher, events


async def take(events: Events, count: int) -> list[str]:
    """The next events, in short: "+a", "-a", "synced"."""
    async with asyncio.timeout(60):
        return [short(await anext(events)) for _ in range(count)]


def short(event: Change | Synced) -> str:
    match event:
        case Upsert(ref=ref):
            return f"+{ref.name}"
        case Deleted(ref=ref):
            return f"-{ref.name}"
        case Synced():
            return "synced"


async def test_first_what_there_is_then_what_changes(server: ScriptedApiServer) -> None:
    server.replies += [listing(configmap("a"), configmap("b"), version=3)]
    server.watches += [watching(("ADDED", configmap("c", 4)), ("DELETED", configmap("a", 5)), then="hang")]
    async with events_of(server) as (watcher, events):
        assert await take(events, 5) == ["+a", "+b", "synced", "+c", "-a"]
        assert set(watcher.objects) == {("default", "b"), ("default", "c")}
        assert watcher.is_fresh()
    assert server.watches_seen == ["3"]


async def test_a_watch_that_ends_goes_on_from_the_last_bookmark(server: ScriptedApiServer) -> None:
    server.replies += [listing(version=3)]
    server.watches += [
        watching(("BOOKMARK", configmap("", 8))),
        watching(("ADDED", configmap("a", 9)), then="hang"),
    ]
    async with events_of(server) as (_, events):
        assert await take(events, 2) == ["synced", "+a"]
    assert server.watches_seen == ["3", "8"]
    assert server.lists_seen == 1


@pytest.mark.parametrize("how", ["line", "status"])
async def test_a_version_too_old_lists_again_and_finds_the_deletion(server: ScriptedApiServer, how: str) -> None:
    server.replies += [listing(configmap("a"), version=3), listing(configmap("b"), version=20)]
    server.watches += [watching(expired()) if how == "line" else refusal(410, "Expired")]
    async with events_of(server) as (_, events):
        assert await take(events, 5) == ["+a", "synced", "-a", "+b", "synced"]


async def test_a_connection_that_breaks_within_a_line_loses_nothing(server: ScriptedApiServer) -> None:
    half = watching(("ADDED", configmap("b", 4)))
    server.replies += [listing(configmap("a"), version=3), listing(configmap("b"), version=5)]
    server.watches += [half._replace(body=half.body[:20], then="break")]
    async with events_of(server) as (_, events):
        assert await take(events, 5) == ["+a", "synced", "-a", "+b", "synced"]


async def test_a_line_that_is_not_json_lists_again(server: ScriptedApiServer) -> None:
    server.replies += [listing(version=3), listing(configmap("a"), version=4)]
    server.watches += [watching()._replace(body=b"<html>\n")]
    async with events_of(server) as (_, events):
        assert await take(events, 3) == ["synced", "+a", "synced"]


async def test_a_silent_watch_is_opened_anew_where_it_was(server: ScriptedApiServer) -> None:
    server.replies += [listing(version=3)]
    server.watches += [watching(then="hang"), watching(("ADDED", configmap("a", 4)), then="hang")]
    async with events_of(server, idle=0.05) as (_, events):
        assert await take(events, 2) == ["synced", "+a"]
    assert server.watches_seen == ["3", "3"]
    assert server.lists_seen == 1


async def test_a_resync_hands_out_everything_again(server: ScriptedApiServer) -> None:
    server.replies += [listing(configmap("a")), listing(configmap("a"))]
    async with events_of(server, resync=0.05) as (_, events):
        assert await take(events, 4) == ["+a", "synced", "+a", "synced"]


async def test_a_resync_comes_also_when_the_watch_is_busy(server: ScriptedApiServer) -> None:
    lines = [("MODIFIED", configmap("a", version)) for version in range(2, 5000)]
    server.replies += [listing(configmap("a")), listing()]
    server.watches += [watching(*lines, then="hang")]
    async with events_of(server, resync=0.05) as (_, events):
        async with asyncio.timeout(60):
            seen = [short(await anext(events)) for _ in range(2)]
            while seen[-1] != "-a":
                seen.append(short(await anext(events)))
    assert len(seen) < 5000


async def test_errors_are_waited_out(server: ScriptedApiServer, caplog: pytest.LogCaptureFixture) -> None:
    server.replies += [
        *[refusal(403, "Forbidden", "RBAC says no")] * 3,
        refusal(404, "NotFound", "no such resource"),
        listing(configmap("a")),
    ]
    async with events_of(server) as (watcher, events):
        assert not watcher.is_fresh()
        assert await take(events, 2) == ["+a", "synced"]
        assert watcher.last_error is None
    assert caplog.text.count("RBAC says no") == 1, "the same error is logged once"
    assert "no such resource" in caplog.text


async def test_a_server_that_is_away_is_waited_for(tmp_path: Path) -> None:
    kubeconfig = ScriptedApiServer(tmp_path).write_kubeconfig("http://127.0.0.1:1")
    async with await KubeClient.connect(str(kubeconfig), timeout=0.2) as client:
        watcher = list_watch(client)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5), aclosing(watcher.events()) as events:
                await anext(events)
        assert watcher.last_error is not None
        assert watcher.last_error.reason == "Unreachable"
        assert not watcher.is_fresh()


async def test_watches_that_end_at_once_are_not_opened_in_a_hot_loop(server: ScriptedApiServer) -> None:
    server.replies += [listing(version=3)]
    server.watches += [watching()] * 1000
    async with events_of(server, wait=0.05) as (_, events):
        assert await take(events, 1) == ["synced"]
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(anext(events), 0.3)
    assert 2 <= len(server.watches_seen) <= 15


async def test_who_fails_at_a_deletion_is_told_again(server: ScriptedApiServer) -> None:
    server.replies += [listing(configmap("a"), version=3), listing(version=9)]
    server.watches += [watching(("DELETED", configmap("a", 4)), then="hang")]
    async with server.run() as client:
        watcher = list_watch(client)
        async with aclosing(watcher.events()) as events:
            assert await take(events, 3) == ["+a", "synced", "-a"]
        async with aclosing(watcher.events()) as events:
            assert await take(events, 2) == ["-a", "synced"]


async def test_nothing_is_fetched_ahead_of_the_consumer(server: ScriptedApiServer) -> None:
    server.replies += [listing(version=3)]
    server.watches += [watching(("ADDED", configmap("a", 4)), ("ADDED", configmap("b", 5)), then="hang")]
    async with events_of(server) as (watcher, events):
        assert await take(events, 2) == ["synced", "+a"]
        assert set(watcher.objects) == {("default", "a")}


async def test_freshness_ends_when_the_server_is_silent(server: ScriptedApiServer) -> None:
    server.replies += [listing()]
    async with events_of(server, idle=1) as (watcher, events):
        assert await take(events, 1) == ["synced"]
        assert watcher.is_fresh()
        watcher.last_contact = time.monotonic() - 3
        assert not watcher.is_fresh()
        assert watcher.is_fresh(within_seconds=60)

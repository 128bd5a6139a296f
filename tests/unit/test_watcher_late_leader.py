"""A watcher that has lost the Lease amid a look puts nothing older over what its successor has published."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from services.chassis.kube import JsonObject, dig_dict
from services.chassis.settle import Outdated
from services.contracts.messages import WorkspaceState
from services.watcher.state import to_state
from services.watcher.workspace import read
from tests.unit.samples import manifest
from tests.unit.watcher_fakes import Watcher

OTHER = "0f9e8d7c-0000-4000-8000-000000000002"
OLD = manifest(version="7")


def later(obj: JsonObject) -> JsonObject:
    """The same object, created a minute later: a namesake."""
    created = {"creationTimestamp": datetime(2026, 1, 1, 12, 1, tzinfo=UTC).isoformat()}
    return {**obj, "metadata": dig_dict(obj, "metadata") | created}


NEWER = {
    "deleted since": manifest(generation=2, version="9", deleting=True),
    "of a later generation": manifest(generation=2, version="9"),
    "with other annotations": manifest(version="9", annotations={"kaito.sh/runtime": "vllm"}),
    "a namesake": later(manifest(version="9", uid=OTHER)),
}


def newest(watcher: Watcher) -> WorkspaceState:
    (state,) = [message for _, message in watcher.bus.kept.values() if isinstance(message, WorkspaceState)]
    return state


@pytest.mark.parametrize("newer", NEWER.values(), ids=NEWER)
async def test_what_it_still_had_in_its_hands_is_not_published(newer: JsonObject) -> None:
    successor = Watcher()
    late = Watcher(successor.kube, successor.bus)
    successor.kube.put(newer)
    await successor.publisher._look(("team", "w"))
    wanted = newest(successor)
    with pytest.raises(Outdated):
        await late.publisher._observe(read(OLD))
    assert newest(successor) == wanted


async def test_nor_is_an_object_that_is_gone() -> None:
    watcher = Watcher()
    watcher.bus.put(to_state(read(NEWER["deleted since"]), {}))
    with pytest.raises(Outdated):
        await watcher.publisher._observe(read(OLD))
    assert newest(watcher).deleting


async def test_what_the_api_server_says_is_published_also_over_what_looks_newer() -> None:
    """As after a restore of the cluster from a backup: Kubernetes holds the truth."""
    watcher = Watcher()
    watcher.bus.put(to_state(read(NEWER["deleted since"]), {}))
    watcher.kube.put(OLD)
    await watcher.publisher._look(("team", "w"))
    assert newest(watcher) == to_state(read(OLD), {})


async def test_what_is_newer_than_the_last_message_costs_no_read() -> None:
    watcher = Watcher()
    watcher.bus.put(to_state(read(OLD), {}))
    watcher.kube.put(NEWER["of a later generation"])
    await watcher.publisher._look(("team", "w"))
    assert (newest(watcher).generation, watcher.kube.reads) == (2, 0)

"""Events: what they say, how many there may be, and that they never disturb."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from services.chassis.kube import NODES, PODS, EventRecorder, EventTarget, ObjectRef, dig, dig_str
from services.chassis.kube.event_recorder import BURST, MESSAGE_LIMIT, REFILL_SECONDS, Allowance, new_event
from tests.unit.scripted_api_server import Reply, ScriptedApiServer, refusal

POD = EventTarget(ObjectRef(PODS, "a", "ns"), "uid-a")


@pytest.fixture
def server(tmp_path: Path) -> ScriptedApiServer:
    return ScriptedApiServer(tmp_path)


def test_the_same_words_about_the_same_object_have_the_same_name() -> None:
    def name(uid: str, message: str) -> str:
        return dig_str(new_event("c", "Normal", POD._replace(uid=uid), "Reason", message), "metadata", "name")

    assert name("1", "x") == name("1", "x")
    assert len({name("1", "x"), name("2", "x"), name("1", "y")}) == 3


def test_an_event_lies_in_its_objects_namespace_or_in_default() -> None:
    node = EventTarget(ObjectRef(NODES, "n"), "uid-n")
    assert dig(new_event("c", "Normal", POD, "R", "m"), "metadata", "namespace") == "ns"
    event = new_event("c", "Normal", node, "R", "m")
    assert dig(event, "metadata", "namespace") == "default"
    assert dig(event, "involvedObject", "namespace") is None


def test_a_long_message_is_cut() -> None:
    message = dig_str(new_event("c", "Warning", POD, "R", "x" * 5000), "message")
    assert len(message) == MESSAGE_LIMIT
    assert message.endswith("…")


def test_an_allowance_is_spent_and_refills() -> None:
    left: Allowance | None = Allowance(BURST, 0)
    for _ in range(BURST):
        assert left is not None
        left = left.spent(0)
    assert left is not None
    assert left.spent(REFILL_SECONDS / 2) is None
    assert left.spent(REFILL_SECONDS) is not None
    again = left.spent(REFILL_SECONDS * 1000)
    assert again is not None
    assert again.tokens == BURST - 1


async def test_too_many_events_on_one_object_are_left_out_and_others_are_not(
    server: ScriptedApiServer,
) -> None:
    server.replies += [Reply(b"{}")] * 100
    async with server.run() as client:
        recorder = EventRecorder(client, "c")
        for number in range(BURST + 5):
            await recorder.normal(POD, "R", str(number))
        assert len(server.seen) == BURST
        await recorder.warning(POD._replace(uid="another"), "R", "m")
    assert len(server.seen) == BURST + 1


async def test_an_event_that_can_not_be_written_is_logged_and_not_raised(
    server: ScriptedApiServer, caplog: pytest.LogCaptureFixture
) -> None:
    server.replies += [refusal(403, "Forbidden", "RBAC says no")]
    async with server.run() as client:
        await EventRecorder(client, "c").normal(POD, "Started", "it runs")
    assert "RBAC says no" in caplog.text


async def test_saying_it_again_counts_up(server: ScriptedApiServer) -> None:
    server.replies += [
        refusal(409, "AlreadyExists"),
        Reply(json.dumps({"count": 3}).encode()),
        Reply(b"{}"),
    ]
    async with server.run() as client:
        await EventRecorder(client, "c").normal(POD, "Started", "it runs")
    assert [seen.method for seen in server.seen] == ["POST", "GET", "PATCH"]

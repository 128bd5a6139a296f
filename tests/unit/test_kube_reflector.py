"""Whatever a server does to a watch, what was handed out ends up as the server's truth."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from hypothesis import given, settings
from hypothesis import strategies as st

from services.chassis.kube import (
    CONFIGMAPS,
    Change,
    Deleted,
    Gone,
    Idle,
    JsonObject,
    KubeError,
    ObjectList,
    Unreachable,
    Upsert,
    WatchEvent,
    dig_str,
)
from services.chassis.kube.reflector import Reflector
from services.chassis.kube.watch_stream import EventType
from tests.unit.scripted_api_server import configmap


class Write(NamedTuple):
    """Someone changes an object: it is created or updated, or deleted where it is there."""

    name: str
    delete: bool


class Server:
    """Objects, and the log of their changes since it was last compacted."""

    def __init__(self) -> None:
        self.objects: dict[str, JsonObject] = {}
        self._log: list[WatchEvent] = []
        self._revision = 1
        self._oldest = 1

    def write(self, write: Write) -> None:
        old = self.objects.get(write.name)
        if old is None and write.delete:
            return
        self._revision += 1
        uid = dig_str(old, "metadata", "uid") or f"uid-{self._revision}"
        obj = configmap(write.name, self._revision, uid)
        if write.delete:
            del self.objects[write.name]
        else:
            self.objects[write.name] = obj
        kind: EventType = "DELETED" if write.delete else "MODIFIED" if old else "ADDED"
        self._log.append(WatchEvent(kind, obj))

    def compact(self) -> None:
        self._oldest, self._log = self._revision, []

    def list(self) -> ObjectList:
        return ObjectList(list(self.objects.values()), str(self._revision))

    def watch(self, version: str) -> Iterator[WatchEvent]:
        if int(version) < self._oldest:
            raise Gone(410, "Expired", "too old resource version")
        yield from [event for event in self._log if int(event.resource_version) > int(version)]
        yield WatchEvent("BOOKMARK", configmap("", self._revision))


class Consumer:
    """Keeps what it is told, and fails now and then before it could keep it."""

    def __init__(self) -> None:
        self.known: set[tuple[str, str]] = set()
        self.fails = False

    def handle(self, change: Change) -> None:
        if self.fails:
            self.fails = False
            raise RuntimeError("the bus is away")
        one = (change.ref.name, dig_str(change.obj, "metadata", "uid"))
        if isinstance(change, Upsert):
            self.known.add(one)
        else:
            self.known.discard(one)


def one_round(reflector: Reflector, server: Server, consumer: Consumer, trouble: KubeError | None) -> None:
    """What the shell does once: list or watch, hand out, note how it ended."""
    if reflector.resource_version is None:
        for change in reflector.listed(server.list()):
            consumer.handle(change)
            reflector.delivered(change)
        return
    try:
        for number, event in enumerate(server.watch(reflector.resource_version)):
            if trouble is not None and number == 1:
                raise trouble
            if seen := reflector.observed(event):
                consumer.handle(seen)
                reflector.delivered(seen)
    except KubeError as error:
        reflector.ended(error, brief=False)


writes = st.lists(st.builds(Write, st.sampled_from(["a", "b"]), st.booleans()), max_size=3)
troubles = st.sampled_from(["none", "compact", "break", "idle", "error", "resync", "fail"])
ERRORS: dict[str, KubeError] = {
    "break": Unreachable("connection reset"),
    "idle": Idle(70),
    "error": KubeError(500, "InternalError", "etcd is away"),
}


def disturb(what: str, reflector: Reflector, server: Server, consumer: Consumer) -> None:
    if what == "compact":
        server.compact()
    elif what == "resync":
        reflector.stale()
    consumer.fails = what == "fail"
    try:
        one_round(reflector, server, consumer, ERRORS.get(what))
    except RuntimeError:
        reflector.stale()  # As `ListWatch.events` does when it is called again.


@settings(max_examples=500)
@given(st.lists(st.tuples(writes, troubles), max_size=12))
def test_any_history_ends_with_the_servers_truth(history: list[tuple[list[Write], str]]) -> None:
    reflector, server, consumer = Reflector(CONFIGMAPS), Server(), Consumer()
    for changes, trouble in history:
        for write in changes:
            server.write(write)
        disturb(trouble, reflector, server, consumer)
    consumer.fails = False
    one_round(reflector, server, consumer, None)
    one_round(reflector, server, consumer, None)

    assert consumer.known == {(name, dig_str(obj, "metadata", "uid")) for name, obj in server.objects.items()}
    assert {name for _, name in reflector.objects} == set(server.objects)


def listed(*objects: JsonObject, version: int = 1) -> ObjectList:
    return ObjectList(list(objects), str(version))


def test_a_list_finds_what_was_deleted_meanwhile_and_says_so_first() -> None:
    reflector = Reflector(CONFIGMAPS)
    reflector.listed(listed(configmap("a"), configmap("b")))
    changes = reflector.listed(listed(configmap("b"), configmap("c")))
    assert [(type(change), change.ref.name) for change in changes] == [
        (Deleted, "a"),
        (Upsert, "b"),
        (Upsert, "c"),
    ]


def test_a_namesake_with_another_uid_is_a_deletion_and_a_new_object() -> None:
    reflector = Reflector(CONFIGMAPS)
    reflector.listed(listed(configmap("a", uid="one")))
    first, second = reflector.listed(listed(configmap("a", uid="two")))
    assert isinstance(first, Deleted)
    assert dig_str(first.obj, "metadata", "uid") == "one"
    assert isinstance(second, Upsert)


def test_a_deletion_not_handled_is_found_again_and_one_handled_is_not() -> None:
    reflector = Reflector(CONFIGMAPS)
    reflector.listed(listed(configmap("a")))
    change = reflector.observed(WatchEvent("DELETED", configmap("a", 2)))
    assert reflector.listed(listed()) == [change]
    assert change is not None
    reflector.delivered(change)
    assert reflector.listed(listed()) == []


def test_bookmarks_move_the_position_on_and_change_nothing() -> None:
    reflector = Reflector(CONFIGMAPS)
    reflector.listed(listed(configmap("a")))
    assert reflector.observed(WatchEvent("BOOKMARK", configmap("", 99))) is None
    assert reflector.resource_version == "99"
    assert len(reflector.objects) == 1


def test_an_ended_or_idle_watch_goes_on_where_it_was_and_anything_else_lists() -> None:
    reflector = Reflector(CONFIGMAPS)
    reflector.listed(listed(version=5))
    reflector.ended(None, brief=False)
    reflector.ended(Idle(70), brief=False)
    assert reflector.resource_version == "5"
    reflector.ended(Unreachable("reset"), brief=False)
    assert reflector.resource_version is None


def test_tries_that_bring_nothing_count_up_until_one_brings_something() -> None:
    reflector = Reflector(CONFIGMAPS)
    reflector.list_failed()
    reflector.listed(listed())
    reflector.ended(Gone(410, "Expired", ""), brief=True)
    assert reflector.failures == 2
    reflector.observed(WatchEvent("ADDED", configmap("a")))
    assert reflector.failures == 0


def test_managed_fields_are_not_kept() -> None:
    reflector = Reflector(CONFIGMAPS)
    obj = configmap("a")
    obj["metadata"] = {"name": "a", "namespace": "default", "managedFields": [{"manager": "kubectl"}]}
    reflector.listed(listed(obj))
    assert reflector.objects["default", "a"]["metadata"] == {"name": "a", "namespace": "default"}

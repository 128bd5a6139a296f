"""What is known of a set of objects, and what to do next to keep it true. No I/O: `ListWatch` does that.

The name and the idea are client-go's: list, then watch from the list's resourceVersion, and list again whenever
the watch may have missed something.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from services.chassis.kube.client import ObjectList
from services.chassis.kube.errors import KubeError
from services.chassis.kube.objects import JsonObject, Key, ObjectRef, Resource, dig_dict, dig_str
from services.chassis.kube.watch_stream import Idle, WatchEvent


class Upsert(NamedTuple):
    """An object that is there. It may be the same as before: lists repeat what is known."""

    obj: JsonObject
    ref: ObjectRef


class Deleted(NamedTuple):
    """An object that is gone. `obj` is the last that was seen of it."""

    obj: JsonObject
    ref: ObjectRef


class Synced(NamedTuple):
    """A list has been handed out whole: all that exists is known, and nothing else is."""

    total: int
    resource_version: str


Change = Upsert | Deleted


class Reflector:
    """The known objects of one resource, and where the watch goes on.

    A deletion is kept until `delivered`: if the one who handles it fails and begins again, it is found again.
    """

    def __init__(self, resource: Resource) -> None:
        self._resource = resource
        self._objects: dict[Key, JsonObject] = {}
        self._undelivered: dict[tuple[Key, str], JsonObject] = {}
        self.resource_version: str | None = None
        """Where the next watch goes on from. None: a list is needed first."""
        self.failures = 0
        """Tries in a row that brought nothing. The wait before the next one grows with it."""

    @property
    def objects(self) -> Mapping[Key, JsonObject]:
        """What is known, by namespace and name."""
        return self._objects

    def listed(self, found: ObjectList) -> list[Change]:
        """Take in a full list: the changes are deletions first, then every object that is there."""
        fresh = {self._ref(item).key: _lean(item) for item in found.items}
        for key, old in self._objects.items():
            if key not in fresh or _uid(fresh[key]) != _uid(old):
                self._undelivered[key, _uid(old)] = old
        self._objects = fresh
        self.resource_version = found.resource_version
        gone: list[Change] = [Deleted(obj, self._ref(obj)) for obj in self._undelivered.values()]
        return gone + [Upsert(obj, self._ref(obj)) for obj in fresh.values()]

    def observed(self, event: WatchEvent) -> Change | None:
        """Take in one line of the watch; None for a bookmark, which only moves the position on."""
        self.failures = 0
        self.resource_version = event.resource_version or self.resource_version
        if event.type == "BOOKMARK":
            return None
        obj = _lean(event.object)
        ref = self._ref(obj)
        if event.type == "DELETED":
            self._objects.pop(ref.key, None)
            self._undelivered[ref.key, _uid(obj)] = obj
            return Deleted(obj, ref)
        self._objects[ref.key] = obj
        return Upsert(obj, ref)

    def delivered(self, change: Change) -> None:
        """The change has been handled; a deletion need not be found again."""
        if isinstance(change, Deleted):
            self._undelivered.pop((change.ref.key, _uid(change.obj)), None)

    def ended(self, error: KubeError | None, *, brief: bool) -> None:
        """The watch is over: by the server's will (None), or for `error`. `brief`: it brought nothing, at once.

        Ended or idle, it goes on where it was. After anything else a list makes sure: 410 and other ERROR lines
        mean that events are lost, and a server that was away may have come back with another store.
        """
        if not (error is None or isinstance(error, Idle)):
            self.resource_version = None
        self.failures = self.failures + 1 if brief else 0

    def stale(self) -> None:
        """Ask for a list: it is time for one, or the last one failed half way."""
        self.resource_version = None

    def list_failed(self) -> None:
        """The list did not work; the next one waits longer."""
        self.failures += 1

    def _ref(self, obj: JsonObject) -> ObjectRef:
        return ObjectRef.of(self._resource, obj)


def _uid(obj: JsonObject) -> str:
    return dig_str(obj, "metadata", "uid")


def _lean(obj: JsonObject) -> JsonObject:
    """The object without managedFields, often half of it, which nobody reads from a watch."""
    metadata = {name: value for name, value in dig_dict(obj, "metadata").items() if name != "managedFields"}
    return obj | {"metadata": metadata}

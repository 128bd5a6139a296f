"""An API server and a bus in memory, as far as the watcher uses them: for its order of doing things."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from copy import deepcopy
from typing import TypeVar, cast

from services.chassis.bus import Bus, Last
from services.chassis.kube import (
    CONFIGMAPS,
    SECRETS,
    WORKSPACES,
    Change,
    Conflict,
    Deleted,
    EventRecorder,
    EventTarget,
    JsonObject,
    Key,
    KubeClient,
    ListWatch,
    NotFound,
    ObjectRef,
    Synced,
    Upsert,
    dig_dict,
    dig_list,
    dig_str,
)
from services.chassis.lull import Lull
from services.chassis.settle import Outdated
from services.chassis.telemetry import Telemetry
from services.contracts.messages import Message
from services.watcher.arrivals import Arrivals
from services.watcher.publisher import Publisher
from services.watcher.writer import Writer

M = TypeVar("M", bound=Message)


def merged(old: object, patch: object) -> object:
    """JSON merge patch, RFC 7396."""
    if not isinstance(patch, dict):
        return patch
    result = dict(old) if isinstance(old, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merged(result.get(key), value)
    return result


class FakeKube:
    """Objects by address, with versions, the status subresource, finalizers and a log of what was written."""

    def __init__(self) -> None:
        self.objects: dict[ObjectRef, JsonObject] = {}
        self.changes: asyncio.Queue[Change | Synced] = asyncio.Queue()
        self.log: list[str] = []
        self.reads = 0
        self.shows: dict[Key, JsonObject] = {}
        """What the watch shows instead of what there is."""
        self._version = 100

    def put(self, obj: JsonObject) -> None:
        ref = ObjectRef.of(WORKSPACES, obj)
        self.objects[ref] = obj
        self.changes.put_nowait(Upsert(deepcopy(obj), ref))

    def add(self, ref: ObjectRef, **content: object) -> None:
        self.objects[ref] = dict(content)

    def remove(self, name: str = "w") -> None:
        ref = ObjectRef(WORKSPACES, name, "team")
        self.changes.put_nowait(Deleted(self.objects.pop(ref), ref))

    def workspace(self, name: str = "w") -> JsonObject:
        return self.objects[ObjectRef(WORKSPACES, name, "team")]

    async def get(self, ref: ObjectRef) -> JsonObject | None:
        self.reads += 1
        await asyncio.sleep(0)
        return deepcopy(self.objects.get(ref))

    async def merge_patch(self, ref: ObjectRef, patch: JsonObject, *, subresource: str | None = None) -> JsonObject:
        await asyncio.sleep(0)
        if ref not in self.objects:
            raise NotFound(404, "NotFound", str(ref))
        old = self.objects[ref]
        wanted = dig_str(patch, "metadata", "resourceVersion")
        if wanted and wanted != dig_str(old, "metadata", "resourceVersion"):
            raise Conflict(409, "Conflict", "the object has been modified")
        new = dict(cast(JsonObject, merged(old, patch)))
        if subresource is None and "status" in old:
            new["status"] = old["status"]
        self._version += 1
        new["metadata"] = dig_dict(new, "metadata") | {"resourceVersion": str(self._version)}
        self.log.append("status" if subresource else "finalizer")
        gone = dig_str(new, "metadata", "deletionTimestamp") and not dig_list(new, "metadata", "finalizers")
        self.objects[ref] = new
        if gone:
            self.remove(ref.name)
        else:
            self.changes.put_nowait(Upsert(deepcopy(new), ref))
        return deepcopy(new)


class FakeWatch:
    """The changes of a FakeKube, as ListWatch hands them out."""

    def __init__(self, kube: FakeKube) -> None:
        self._kube = kube

    @property
    def objects(self) -> dict[Key, JsonObject]:
        there = {ref.key: deepcopy(obj) for ref, obj in self._kube.objects.items() if ref.resource == WORKSPACES}
        return there | deepcopy(self._kube.shows)

    async def events(self) -> AsyncIterator[Change | Synced]:
        while True:
            yield await self._kube.changes.get()


class FakeBus:
    """The newest message of each subject, and all that were published."""

    def __init__(self, log: list[str]) -> None:
        self.kept: dict[str, tuple[int, Message]] = {}
        self.published: list[Message] = []
        self.away = False
        self._log = log

    def put(self, *messages: Message) -> None:
        for message in messages:
            self.kept[message.subject] = (len(self.kept) + 1000, message)

    async def publish(self, message: Message, *, expect: int | None = None) -> int:
        await self._reached()
        if expect is not None and expect != self.kept.get(message.subject, (0, None))[0]:
            raise Outdated(message.subject)
        self.published.append(message)
        self._log.append(f"publish {type(message).__name__}")
        self.kept[message.subject] = (len(self.published), message)
        return len(self.published)

    async def publish_first(self, message: Message) -> bool:
        if message.subject in self.kept:
            return False
        await self.publish(message)
        return True

    async def last(self, kind: type[M], subject: str) -> Last[M]:
        await self._reached()
        sequence, message = self.kept.get(subject, (0, None))
        return Last(message if isinstance(message, kind) else None, sequence)

    async def newest(self, kind: type[M], subject: str) -> M | None:
        return (await self.last(kind, subject)).message

    async def subjects(self, kind: type[Message]) -> list[str]:
        await self._reached()
        return sorted(subject for subject, (_, message) in self.kept.items() if isinstance(message, kind))

    async def forget(self, kind: type[M], subject: str, uid: str, meant: Callable[[M], bool] = lambda _: True) -> None:
        found = self.kept.get(subject)
        if found and found[1].uid == uid and isinstance(found[1], kind) and meant(found[1]):
            del self.kept[subject]

    async def _reached(self) -> None:
        await asyncio.sleep(0)
        if self.away:
            raise ConnectionError("NATS is away")


class FakeEvents:
    """Events as they were told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str, str]] = []

    async def normal(self, about: EventTarget, reason: str, message: str) -> None:
        self.told.append(("Normal", reason, message))

    async def warning(self, about: EventTarget, reason: str, message: str) -> None:
        self.told.append(("Warning", reason, message))


class Watcher:
    """A publisher and a writer on the fakes."""

    def __init__(self, kube: FakeKube | None = None, bus: FakeBus | None = None, quiet: float = 0.0) -> None:
        """Of several that come at once none is held before so many seconds have passed without another."""
        self.kube = kube or FakeKube()
        self.bus = bus or FakeBus(self.kube.log)
        self.events = FakeEvents()
        # The fakes have what is used of the real ones, and nothing else.
        kube_client, real_bus = cast(KubeClient, self.kube), cast(Bus, self.bus)
        self.shown: dict[Key, JsonObject] = {}
        events, telemetry = cast(EventRecorder, self.events), Telemetry(None, "watcher")
        self.writer = Writer(kube_client, real_bus, events, telemetry, self.shown.get)
        arrivals = Arrivals(Lull(quiet=quiet, at_most=quiet))
        watch = cast(ListWatch, FakeWatch(self.kube))
        self.publisher = Publisher(kube_client, real_bus, self.writer, watch, arrivals)


def configmap(name: str) -> ObjectRef:
    """Where a ConfigMap of the samples' namespace is."""
    return ObjectRef(CONFIGMAPS, name, "team")


def secret(name: str) -> ObjectRef:
    """Where a Secret of the samples' namespace is."""
    return ObjectRef(SECRETS, name, "team")

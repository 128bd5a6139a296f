"""List and watch that does not go deaf: whatever happens on the way, what is handed out ends up the server's truth."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import AbstractAsyncContextManager, aclosing
from typing import Protocol

from services.chassis.kube.backoff import backoff, jittered
from services.chassis.kube.client import IDLE_SECONDS, ObjectList
from services.chassis.kube.errors import Gone, KubeError
from services.chassis.kube.objects import JsonObject, Key, Resource
from services.chassis.kube.reflector import Change, Reflector, Synced
from services.chassis.kube.watch_stream import Idle, WatchEvent

log = logging.getLogger(__name__)


class EventStream(Protocol):
    """An open watch; see `WatchStream`."""

    async def next_event(self, timeout: float) -> WatchEvent | None:
        """The next event, or None at the end."""


class Source(Protocol):
    """What is needed of a client; `KubeClient` is one."""

    async def list(
        self, resource: Resource, *, namespace: str | None, labels: str | None, fields: str | None
    ) -> ObjectList:
        """List what there is."""

    def open_watch(
        self,
        resource: Resource,
        *,
        resource_version: str,
        namespace: str | None,
        labels: str | None,
        fields: str | None,
    ) -> AbstractAsyncContextManager[EventStream]:
        """Watch what changes."""


class ListWatch:
    """The objects of a resource, as a stream of changes and as a mapping.

    After every list: deletions found by comparing, every object, then `Synced`. In between: what the watch says.
    A list is made at the start, after anything that may have lost an event, and every `resync_seconds` (a little
    longer at random), so that a missed event is repaired even if nobody noticed. Errors are logged and retried;
    nothing is raised but cancellation.

    The next event is fetched when the last one has been handled, so nothing queues up here. Who fails half way
    through one calls `events` again: that begins with a list, and repeats a deletion not handled to the end.
    """

    def __init__(
        self,
        client: Source,
        resource: Resource,
        *,
        namespace: str | None = None,
        labels: str | None = None,
        fields: str | None = None,
        resync_seconds: float = 600.0,
        idle_seconds: float = IDLE_SECONDS,
        max_wait_seconds: float = 10.0,
    ) -> None:
        self._client = client
        self._resource = resource
        self._namespace = namespace
        self._labels = labels
        self._fields = fields
        self._resync_seconds = resync_seconds
        self._idle_seconds = idle_seconds
        self._max_wait = max_wait_seconds
        self._reflector = Reflector(resource)
        self._listed_at = float("-inf")
        self.last_contact = float("-inf")
        """When the server last gave a sign of life, on the clock of `time.monotonic`."""
        self.last_error: KubeError | None = None
        """Why the last try failed; None once one has worked."""
        self.synced = False
        """Whether a list has been handed out whole, ever."""

    @property
    def objects(self) -> Mapping[Key, JsonObject]:
        """What is known now, by namespace and name, without managedFields."""
        return self._reflector.objects

    def is_fresh(self, within_seconds: float | None = None) -> bool:
        """Whether the server was heard from recently, by default within two idle times. For readiness."""
        within = 2 * self._idle_seconds if within_seconds is None else within_seconds
        return self.synced and time.monotonic() - self.last_contact <= within

    async def events(self) -> AsyncGenerator[Change | Synced, None]:
        """The changes, for ever. Close it when leaving early (`contextlib.aclosing`): a connection is open."""
        self._reflector.stale()
        while True:
            await self._wait()
            listing = self._reflector.resource_version is None
            async with aclosing(self._list() if listing else self._watch()) as events:
                async for event in events:
                    yield event

    async def _wait(self) -> None:
        if self._reflector.failures:
            await asyncio.sleep(backoff(self._reflector.failures, base=0.25, cap=self._max_wait))

    async def _list(self) -> AsyncGenerator[Change | Synced, None]:
        try:
            found = await self._client.list(
                self._resource, namespace=self._namespace, labels=self._labels, fields=self._fields
            )
        except KubeError as error:
            self._failed(error)
            self._reflector.list_failed()
            return
        self._heard()
        self._listed_at = time.monotonic()
        for change in self._reflector.listed(found):
            yield change
            self._reflector.delivered(change)
        self.synced = True
        yield Synced(len(self.objects), found.resource_version)

    async def _watch(self) -> AsyncGenerator[Change | Synced, None]:
        opened_at = time.monotonic()
        resync_at = self._listed_at + jittered(self._resync_seconds)
        error, lines = None, 0
        try:
            async with self._open() as stream:
                self._heard()
                while event := await self._next(stream, resync_at):
                    lines += 1
                    if change := self._reflector.observed(event):
                        yield change
                        self._reflector.delivered(change)
        except KubeError as caught:
            error = caught
            self._failed(error)
        lasted = time.monotonic() - opened_at
        self._reflector.ended(error, brief=not lines and lasted < 1 and not isinstance(error, Idle))
        if time.monotonic() >= resync_at:
            self._reflector.stale()

    def _open(self) -> AbstractAsyncContextManager[EventStream]:
        return self._client.open_watch(
            self._resource,
            resource_version=self._reflector.resource_version or "",
            namespace=self._namespace,
            labels=self._labels,
            fields=self._fields,
        )

    async def _next(self, stream: EventStream, resync_at: float) -> WatchEvent | None:
        """The next event; None at the end of the watch, and when a resync is due."""
        left = resync_at - time.monotonic()
        if left <= 0:
            return None
        event = await stream.next_event(min(self._idle_seconds, left))
        self._heard()
        return event

    def _heard(self) -> None:
        self.last_contact = time.monotonic()
        self.last_error = None

    def _failed(self, error: KubeError) -> None:
        """Log an error once, not at every try that ends the same way. Idle and expired watches are usual."""
        if isinstance(error, Idle):
            return
        repeated = self.last_error is not None and self.last_error.reason == error.reason
        level = logging.DEBUG if repeated or isinstance(error, Gone) else logging.WARNING
        self.last_error = error
        log.log(level, "watching %s: %s; trying again", self._resource.plural, error)

"""A small asynchronous client of the Kubernetes API for plain JSON objects, built-in and custom ones alike."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from collections.abc import AsyncIterator
from types import TracebackType
from typing import NamedTuple, Self

from services.chassis.kube.backoff import retry_delay
from services.chassis.kube.errors import Gone, Invalid, KubeError, NotFound, Unreachable
from services.chassis.kube.objects import (
    PODS,
    WELL_KNOWN,
    JsonObject,
    NoSuchName,
    ObjectRef,
    Resource,
    dig,
    dig_dicts,
    dig_str,
)
from services.chassis.kube.transport import Request, Transport, read_json
from services.chassis.kube.watch_stream import WatchEvent, WatchStream

PAGE = 500
"""Objects a list call asks for at once, as kubectl does."""
IDLE_SECONDS = 70.0
"""A watch without a line for so long is given up: API servers send a bookmark about every 60 s."""


class ObjectList(NamedTuple):
    """What a list call found, and the resourceVersion that a watch goes on from."""

    items: list[JsonObject]
    resource_version: str


class KubeClient:
    """Calls one API server. Safe to share between tasks; close it, or use it as a context manager.

    Every method raises a `KubeError` when the server refuses (its subclass says how), and `Unreachable` when no
    answer came within `timeout` seconds, repeats included. Reads and idempotent writes are repeated a few times
    when the connection broke or the server put them off.
    """

    def __init__(self, transport: Transport, *, timeout: float = 10.0) -> None:
        self._transport = transport
        self._timeout = timeout
        self._discovered: dict[tuple[str, str], Resource] = {}

    @classmethod
    async def connect(cls, kubeconfig: str | None = None, *, timeout: float = 10.0) -> Self:
        """Make a client for `kubeconfig`, else $KUBECONFIG, else the pod's account, else ~/.kube/config.

        The server is not called yet, so that a service can start before it.

        Raises:
            BadKubeconfig: no configuration was found, or it cannot be used.
        """
        return cls(await Transport.connect(kubeconfig), timeout=timeout)

    async def close(self) -> None:
        """Close all connections."""
        await self._transport.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def get(self, ref: ObjectRef) -> JsonObject | None:
        """Read one object; None when there is none of that name, or no such resource."""
        try:
            return await self._call(Request("GET", ref.path, {}))
        except (NotFound, NoSuchName):
            return None

    async def list(
        self,
        resource: Resource,
        *,
        namespace: str | None = None,
        labels: str | None = None,
        fields: str | None = None,
    ) -> ObjectList:
        """List objects, in one namespace or in all. `labels` and `fields` are selectors as kubectl takes them.

        Large lists are read in pages. Each item gets the apiVersion and kind that the server leaves out.
        """
        path, query = resource.path(namespace), selectors(labels, fields)
        try:
            return await self._list_pages(resource, path, query | {"limit": str(PAGE)})
        except Gone:
            # The server forgot the page token while we were reading. Without pages it cannot.
            return await self._list_pages(resource, path, query)

    async def _list_pages(self, resource: Resource, path: str, query: dict[str, str]) -> ObjectList:
        items: list[JsonObject] = []
        while True:
            page = await self._call(Request("GET", path, query))
            if "items" not in page:  # not even an empty list: taken for one, all that is known would seem to be gone
                raise Unreachable(f"the list of {resource.plural} cannot be read: it has no items")
            head: JsonObject = {"apiVersion": resource.api_version, "kind": resource.kind}
            items += [head | item for item in dig_dicts(page, "items")]
            token = dig_str(page, "metadata", "continue")
            if not token:
                return ObjectList(items, dig_str(page, "metadata", "resourceVersion"))
            query = query | {"continue": token}

    async def create(self, resource: Resource, obj: JsonObject, *, manager: str | None = None) -> JsonObject:
        """Create an object. Raises `Conflict` with reason "AlreadyExists" when the name is taken.

        It costs the API server about two thirds of `apply`. Who wants to `apply` to it later names the `manager`
        here and calls `ownership.take_over` before.
        """
        path = resource.path(dig_str(obj, "metadata", "namespace") or None)
        query = {"fieldManager": manager} if manager else {}
        return await self._call(Request("POST", path, query, obj), idempotent=False)

    async def apply(
        self, obj: JsonObject, *, manager: str, force: bool = True, subresource: str | None = None
    ) -> JsonObject:
        """Server-side apply: make the fields in `obj` so, and own them as `manager`.

        Fields that this manager applied before and now leaves out are removed; those of others stay. Without
        `force`, a field that another manager owns raises `Conflict`. `obj` needs apiVersion, kind and a name.
        """
        resource = await self.resource_of(obj)
        ref = ObjectRef.of(resource, obj)
        path = resource.path(ref.namespace, ref.name, subresource)
        query = {"fieldManager": manager, "force": "true" if force else "false"}
        return await self._call(Request("PATCH", path, query, obj, "application/apply-patch+yaml"))

    async def merge_patch(self, ref: ObjectRef, patch: JsonObject, *, subresource: str | None = None) -> JsonObject:
        """JSON merge patch: null removes a field, arrays are replaced whole.

        With `metadata.resourceVersion` in the patch it is compare-and-set: `Conflict` when the object changed.
        """
        path = ref.resource.path(ref.namespace, ref.name, subresource)
        return await self._call(Request("PATCH", path, {}, patch, "application/merge-patch+json"))

    async def delete(
        self,
        ref: ObjectRef,
        *,
        uid: str | None = None,
        grace_seconds: int | None = None,
        propagation: str = "Background",
    ) -> bool:
        """Delete an object; False when it is gone already. Finalizers and grace may keep it for a while.

        With `uid` only that very object is deleted: `Conflict` when another one has its name by now.
        """
        options: JsonObject = {"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": propagation}
        if uid is not None:
            options["preconditions"] = {"uid": uid}
        if grace_seconds is not None:
            options["gracePeriodSeconds"] = grace_seconds
        try:
            await self._call(Request("DELETE", ref.path, {}, options))
        except NotFound:
            return False
        return True

    async def logs(
        self, namespace: str, pod: str, *, tail_lines: int, previous: bool = False, container: str | None = None
    ) -> str:
        """The last lines that a container wrote; with `previous`, those of its run before this one.

        `container` may be left out for a pod that has one. Raises `Invalid` when there is no such run.
        """
        query = {"tailLines": str(tail_lines), "previous": "true" if previous else "false"}
        query |= {"container": container} if container else {}
        request = Request("GET", PODS.path(namespace, pod, "log"), query)
        try:
            async with asyncio.timeout(self._timeout), self._transport.open(request, self._timeout) as response:
                return (await response.read()).decode(errors="replace")
        except TimeoutError as error:
            raise Unreachable(f"no logs of pod {namespace}/{pod} in time") from error

    async def version(self) -> tuple[int, int]:
        """The server's version, such as (1, 33)."""
        answer = await self._call(Request("GET", "/version", {}))
        major, minor = dig_str(answer, "major"), dig_str(answer, "minor")
        return int(major or 0), int("".join(itertools.takewhile(str.isdigit, minor)) or 0)

    async def healthy(self, timeout: float = 2.0) -> bool:
        """Whether the server says that it is ready, within `timeout` seconds. Never raises."""
        request = Request("GET", "/readyz", {})
        try:
            async with asyncio.timeout(timeout), self._transport.open(request, timeout) as response:
                return await response.read() == b"ok"
        except (KubeError, TimeoutError):
            return False

    @contextlib.asynccontextmanager
    async def open_watch(
        self,
        resource: Resource,
        *,
        resource_version: str,
        namespace: str | None = None,
        labels: str | None = None,
        fields: str | None = None,
    ) -> AsyncIterator[WatchStream]:
        """Watch what changes after `resource_version`, bookmarks included. Raises `Gone` when that is too old."""
        query = selectors(labels, fields) | {
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": resource_version,
        }
        request = Request("GET", resource.path(namespace), query)
        async with self._transport.open(request, self._timeout) as response:
            yield WatchStream(response, resource)

    async def watch(
        self,
        resource: Resource,
        *,
        resource_version: str,
        namespace: str | None = None,
        labels: str | None = None,
        fields: str | None = None,
        idle_seconds: float = IDLE_SECONDS,
    ) -> AsyncIterator[WatchEvent]:
        """The changes after `resource_version`, until the server ends the watch, as it does every so often.

        `ListWatch` is what a service wants: it goes on where this one ends. Raises `Gone` when the
        resourceVersion is too old, `Idle` when nothing came for `idle_seconds`.
        """
        async with self.open_watch(
            resource, resource_version=resource_version, namespace=namespace, labels=labels, fields=fields
        ) as stream:
            while event := await stream.next_event(idle_seconds):
                yield event

    async def resource_of(self, obj: JsonObject) -> Resource:
        """The resource of an object, by its apiVersion and kind; asks the server for kinds not met before.

        Raises:
            Invalid: the server has no such kind, or the object does not say its kind.
        """
        kind = (dig_str(obj, "apiVersion"), dig_str(obj, "kind"))
        known = WELL_KNOWN.get(kind) or self._discovered.get(kind)
        if known is None:
            known = self._discovered[kind] = await self._discover(*kind)
        return known

    async def _discover(self, api_version: str, kind: str) -> Resource:
        group, _, version = api_version.rpartition("/")
        path = f"/apis/{group}/{version}" if group else f"/api/{version}"
        try:
            found = dig_dicts(await self._call(Request("GET", path, {})), "resources")
        except NotFound:
            found = []
        for entry in found:
            plural = dig_str(entry, "name")
            if dig_str(entry, "kind") == kind and "/" not in plural:
                return Resource(group, version, plural, kind, dig(entry, "namespaced") is True)
        raise Invalid(404, "NoKindMatch", f"the API server has no kind {kind!r} in {api_version!r}")

    async def _call(self, request: Request, *, idempotent: bool = True) -> JsonObject:
        deadline = time.monotonic() + self._timeout
        for attempt in itertools.count(1):
            try:
                return await self._once(request, deadline - time.monotonic())
            except KubeError as error:
                delay = retry_delay(error, attempt, idempotent=idempotent)
                if delay is None or time.monotonic() + delay >= deadline:
                    raise
            await asyncio.sleep(delay)
        raise AssertionError("unreachable: the loop above returns or raises")

    async def _once(self, request: Request, timeout: float) -> JsonObject:
        try:
            async with asyncio.timeout(timeout), self._transport.open(request, timeout) as response:
                return await read_json(response)
        except TimeoutError as error:
            raise Unreachable(f"no answer to {request.method} {request.path} in time") from error


def selectors(labels: str | None, fields: str | None) -> dict[str, str]:
    """The query parameters of a label and a field selector."""
    query = {"labelSelector": labels or "", "fieldSelector": fields or ""}
    return {name: value for name, value in query.items() if value}

"""Kubernetes Events on an object: the story that `kubectl describe` tells.

Say a thing once per transition. The same words about the same object become one Event whose count goes up, also
across restarts and replicas, since its name is derived from them.
"""

from __future__ import annotations

import hashlib
import logging
import time
from collections import OrderedDict
from datetime import UTC, datetime
from typing import Literal, NamedTuple, Self

from services.chassis.kube.client import KubeClient
from services.chassis.kube.errors import Conflict, KubeError
from services.chassis.kube.objects import EVENTS, JsonObject, ObjectRef, Resource, dig_int, dig_str

log = logging.getLogger(__name__)

MESSAGE_LIMIT = 1024
"""Characters of a message; newer Event APIs refuse more."""
BURST = 20
"""Events on one object that may come at once."""
REFILL_SECONDS = 30.0
"""One more is allowed after each such time."""
OBJECTS_REMEMBERED = 2048
"""Objects whose rate is kept track of; those quiet for longest are forgotten first."""

EventKind = Literal["Normal", "Warning"]


class EventTarget(NamedTuple):
    """The object an Event is about. With the uid, it is shown for this very object and not a namesake."""

    ref: ObjectRef
    uid: str

    @classmethod
    def of(cls, resource: Resource, obj: JsonObject) -> Self:
        """The target for an object that was read."""
        return cls(ObjectRef.of(resource, obj), dig_str(obj, "metadata", "uid"))


class Allowance(NamedTuple):
    """A token bucket: how many more Events are allowed, as of a moment on the monotonic clock."""

    tokens: float
    at: float

    def spent(self, now: float) -> Self | None:
        """After one more Event; None when there is no allowance left."""
        tokens = min(float(BURST), self.tokens + (now - self.at) / REFILL_SECONDS)
        return self._replace(tokens=tokens - 1, at=now) if tokens >= 1 else None


class EventRecorder:
    """Writes Events as `component`. An Event that can't be written is logged and forgotten: it is only a story."""

    def __init__(self, client: KubeClient, component: str) -> None:
        self._client = client
        self._component = component
        self._allowances: OrderedDict[str, Allowance] = OrderedDict()

    async def normal(self, about: EventTarget, reason: str, message: str) -> None:
        """Record that something went as it should. `reason` is one CamelCase word, `message` a sentence."""
        await self._record("Normal", about, reason, message)

    async def warning(self, about: EventTarget, reason: str, message: str) -> None:
        """Record that something went wrong, in words that say what to change."""
        await self._record("Warning", about, reason, message)

    async def _record(self, kind: EventKind, about: EventTarget, reason: str, message: str) -> None:
        if not self._allowed(about.uid):
            log.debug("too many events on %s; left out: %s %s", about.ref, reason, message)
            return
        event = new_event(self._component, kind, about, reason, message)
        try:
            await self._write(event)
        except KubeError as error:
            log.warning("no event on %s (%s %s): %s", about.ref, reason, message, error)

    async def _write(self, event: JsonObject) -> None:
        try:
            await self._client.create(EVENTS, event)
        except Conflict:
            await self._repeat(event)

    async def _repeat(self, event: JsonObject) -> None:
        ref = ObjectRef.of(EVENTS, event)
        old = await self._client.get(ref)
        if old is None:
            return  # It expired between the two calls.
        patch: JsonObject = {
            "count": (dig_int(old, "count") or 1) + 1,
            "lastTimestamp": event["lastTimestamp"],
        }
        await self._client.merge_patch(ref, patch)

    def _allowed(self, uid: str) -> bool:
        now = time.monotonic()
        before = self._allowances.pop(uid, Allowance(BURST, now))
        left = before.spent(now)
        self._allowances[uid] = left or before
        if len(self._allowances) > OBJECTS_REMEMBERED:
            self._allowances.popitem(last=False)
        return left is not None


def new_event(component: str, kind: EventKind, about: EventTarget, reason: str, message: str) -> JsonObject:
    """The v1 Event. Its name says what it says, so that saying it again meets the one that is there."""
    message = message if len(message) <= MESSAGE_LIMIT else message[: MESSAGE_LIMIT - 1] + "…"
    said = hashlib.sha256("\0".join((component, kind, about.uid, reason, message)).encode()).hexdigest()[:16]
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {
        "apiVersion": EVENTS.api_version,
        "kind": EVENTS.kind,
        "metadata": {"name": f"{about.ref.name[:230]}.{said}", "namespace": about.ref.namespace or "default"},
        "involvedObject": _involved(about),
        "type": kind,
        "reason": reason,
        "message": message,
        "count": 1,
        "firstTimestamp": now,
        "lastTimestamp": now,
        "source": {"component": component},
        "reportingComponent": component,
        "reportingInstance": "",
    }


def _involved(about: EventTarget) -> JsonObject:
    resource = about.ref.resource
    involved: JsonObject = {
        "apiVersion": resource.api_version,
        "kind": resource.kind,
        "name": about.ref.name,
        "uid": about.uid,
    }
    return involved | ({"namespace": about.ref.namespace} if about.ref.namespace else {})

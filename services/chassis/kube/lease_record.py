"""The content of a Lease, and the rule by which it may be taken. Pure: clocks and calls are the caller's."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import NamedTuple, Self

from services.chassis.kube.objects import LEASES, JsonObject, ObjectRef, dig_int, dig_str


class Terms(NamedTuple):
    """The times of a lease, in seconds. The defaults are those of Kubernetes' own controllers."""

    duration_seconds: int = 15
    """Without a renewal for so long, another may take it."""
    renew_deadline_seconds: float = 10.0
    """A holder that could not renew for so long stops working; less than the duration."""
    retry_seconds: float = 2.0
    """Between two tries to take or to renew."""

    @classmethod
    def lasting(cls, seconds: int) -> Self:
        """The terms of a lease of another duration, in the proportions of the default ones."""
        return cls(seconds, seconds * 2 / 3, seconds * 2 / 15)


class LeaseRecord(NamedTuple):
    """A Lease's spec and the resourceVersion it was read at. No holder: it was released."""

    holder: str
    duration_seconds: int
    transitions: int
    acquire_time: str
    renew_time: str
    resource_version: str = ""

    @classmethod
    def of(cls, obj: JsonObject) -> Self:
        """Read a Lease object. Whatever is missing reads as an empty, expired lease."""
        return cls(
            dig_str(obj, "spec", "holderIdentity"),
            dig_int(obj, "spec", "leaseDurationSeconds") or 0,
            dig_int(obj, "spec", "leaseTransitions") or 0,
            dig_str(obj, "spec", "acquireTime"),
            dig_str(obj, "spec", "renewTime"),
            dig_str(obj, "metadata", "resourceVersion"),
        )

    @classmethod
    def first(cls, identity: str, terms: Terms, transitions: int) -> Self:
        """The record of a Lease object that is about to be created."""
        now = micro_time()
        return cls(identity, terms.duration_seconds, transitions, now, now)

    def taken_by(self, identity: str, terms: Terms) -> Self:
        """The record after `identity` took it, or renewed it where it had it before."""
        now = micro_time()
        renewed = self._replace(renew_time=now, duration_seconds=terms.duration_seconds)
        if self.holder == identity:
            return renewed
        return renewed._replace(holder=identity, acquire_time=now, transitions=self.transitions + 1)

    def released(self) -> Self:
        """The record without a holder."""
        return self._replace(holder="", duration_seconds=1, renew_time=micro_time())

    def to_patch(self, resource_version: str) -> JsonObject:
        """A merge patch that writes the record, if the Lease is still at `resource_version`."""
        return {"metadata": {"resourceVersion": resource_version}, "spec": self._spec()}

    def to_object(self, ref: ObjectRef) -> JsonObject:
        """A new Lease object."""
        metadata: JsonObject = {"name": ref.name, "namespace": ref.namespace}
        return {
            "apiVersion": LEASES.api_version,
            "kind": LEASES.kind,
            "metadata": metadata,
            "spec": self._spec(),
        }

    def _spec(self) -> JsonObject:
        return {
            "holderIdentity": self.holder,
            "leaseDurationSeconds": self.duration_seconds,
            "leaseTransitions": self.transitions,
            "acquireTime": self.acquire_time,
            "renewTime": self.renew_time,
        }


class Observed(NamedTuple):
    """A record, and since when it is seen unchanged, on this process's own monotonic clock."""

    record: LeaseRecord | None
    since: float

    def seeing(self, record: LeaseRecord | None, now: float) -> Self:
        """After another look at the Lease. Only a change of it starts the clock again."""
        return self if record == self.record else self._replace(record=record, since=now)


def may_take(observed: Observed, identity: str, now: float) -> bool:
    """Whether `identity` may write itself into the lease: it is free, its own, or not renewed for its duration.

    Clocks of different machines are never compared: the duration runs from when this process first saw the
    record as it is now.
    """
    record = observed.record
    if record is None or record.holder in ("", identity):
        return True
    return now - observed.since >= record.duration_seconds


def micro_time() -> str:
    """Now, as Kubernetes writes a MicroTime."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")

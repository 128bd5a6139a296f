"""Who may take a lease, and what is written then."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from services.chassis.kube import LEASES, ObjectRef, Terms, dig
from services.chassis.kube.lease_record import LeaseRecord, Observed, may_take

TERMS = Terms(duration_seconds=15)
HELD = LeaseRecord("other", 15, 4, "2024-01-01T00:00:00.000000Z", "2024-01-01T00:00:00.000000Z", "7")


def test_a_free_lease_and_ones_own_may_be_taken() -> None:
    assert may_take(Observed(None, 0), "me", 0)
    assert may_take(Observed(HELD.released(), 0), "me", 0)
    assert may_take(Observed(HELD._replace(holder="me"), 0), "me", 0)


@given(st.floats(0, 14.99))
def test_a_lease_that_was_just_seen_to_change_may_not(later: float) -> None:
    assert not may_take(Observed(HELD, 100), "me", 100 + later)


def test_a_lease_not_renewed_for_its_duration_may_be_taken_whatever_its_clock_says() -> None:
    from_the_future = HELD._replace(renew_time="2999-01-01T00:00:00.000000Z")
    assert may_take(Observed(from_the_future, 100), "me", 115)


def test_only_a_change_starts_the_clock_again() -> None:
    observed = Observed(None, 0).seeing(HELD, 10)
    assert observed.seeing(HELD, 20).since == 10
    assert observed.seeing(HELD._replace(resource_version="8"), 20).since == 20


def test_another_holder_counts_as_a_transition_and_a_renewal_does_not() -> None:
    taken = HELD.taken_by("me", TERMS)
    assert (taken.holder, taken.transitions) == ("me", 5)
    assert taken.acquire_time != HELD.acquire_time
    renewed = taken.taken_by("me", TERMS)
    assert (renewed.transitions, renewed.acquire_time) == (5, taken.acquire_time)
    assert HELD.released().taken_by("me", TERMS).transitions == 5


def test_a_record_survives_the_way_through_an_object() -> None:
    first = LeaseRecord.first("me", TERMS, 0)
    obj = first.to_object(ObjectRef(LEASES, "lease", "default"))
    assert LeaseRecord.of(obj) == first
    assert dig(obj, "metadata", "namespace") == "default"


def test_a_write_holds_the_version_that_was_read() -> None:
    assert dig(HELD.to_patch(HELD.resource_version), "metadata", "resourceVersion") == "7"


def test_an_empty_lease_reads_as_free() -> None:
    assert may_take(Observed(LeaseRecord.of({}), 0), "me", 0)

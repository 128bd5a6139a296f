"""Derived names in plain numbers: a service in another language must come to the same."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from services.contracts.identity import root_span_id, short_uid, trace_id, traceparent

UID = "0f9e8d7c-0000-4000-8000-000000000001"


def test_the_trace_of_a_generation() -> None:
    assert f"{trace_id(UID, 1):032x}" == "66427b45405e8ca1c500972014830be9"
    assert f"{root_span_id(UID, 1):016x}" == "b836fb10962af127"
    assert f"{trace_id(UID, 2):032x}" == "55bbdcc4599e4a45e2446cb67c9242f8"


def test_the_context_as_a_header() -> None:
    assert traceparent(UID, 1) == "00-66427b45405e8ca1c500972014830be9-b836fb10962af127-01"


def test_a_short_name_for_nodes() -> None:
    assert short_uid(UID) == "01d09cf7ab"


@given(st.text(), st.integers())
def test_ids_are_never_the_invalid_zero_and_fit(uid: str, generation: int) -> None:
    assert 0 < trace_id(uid, generation) < 2**128
    assert 0 < root_span_id(uid, generation) < 2**64
    assert len(traceparent(uid, generation)) == 55

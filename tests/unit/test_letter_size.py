"""A dead letter fits into a message, whatever its message was like."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.chassis.letter import TRUNCATED, fitted, header_bytes

LIMIT = 10_000
WHY = {"Kaito-Error": "not JSON", "Kaito-Original-Subject": "kaito.plan.default.phi"}


def test_what_fits_is_kept_as_it_came() -> None:
    assert fitted(b"{", {"ce-id": "7"}, WHY, LIMIT) == (b"{", {"ce-id": "7"} | WHY)


def test_of_what_does_not_fit_the_beginning_is_kept_and_it_says_how_long_it_was() -> None:
    body, headers = fitted(b"{" + b"x" * LIMIT, {"ce-id": "7"}, WHY, LIMIT)
    assert body.startswith(b"{xxx")
    assert headers == {"ce-id": "7"} | WHY | {TRUNCATED: f"{len(body)} of {LIMIT + 1} bytes"}


def test_headers_that_leave_no_room_are_left_out_and_the_reason_stays() -> None:
    body, headers = fitted(b"{", {"huge": "x" * LIMIT}, WHY, LIMIT)
    assert (body, headers) == (b"{", WHY | {TRUNCATED: "1 of 1 bytes, without its headers"})


@given(st.binary(max_size=30_000), st.dictionaries(st.text(max_size=20), st.text(max_size=3000), max_size=8))
def test_it_always_fits_and_always_says_why(data: bytes, own: dict[str, str]) -> None:
    body, headers = fitted(data, own, WHY, LIMIT)
    assert len(body) + header_bytes(headers) <= LIMIT
    assert WHY.items() <= headers.items()
    assert (TRUNCATED in headers) == (body != data or headers != own | WHY)


@pytest.mark.parametrize("text", ["a", "é"])
def test_headers_are_counted_as_they_are_sent(text: str) -> None:
    assert header_bytes({"k": text}) == len(f"NATS/1.0\r\nk: {text}\r\n\r\n".encode())

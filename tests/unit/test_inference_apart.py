"""A process that does a job apart: what it says when it breaks off."""

from __future__ import annotations

import io

import pytest

from services.inference.apart import LAST_CHARACTERS, Said, do_apart, last_lines


async def test_a_process_that_crashes_leaves_its_last_lines() -> None:
    said = await do_apart("services.inference.benchmark.drive", b"{}", 60)
    assert (said.text, said.code) == (b"", 1)
    assert said.end.startswith("with code 1: ")
    assert "Field required" in said.last
    assert len(said.last) <= LAST_CHARACTERS


async def test_one_that_takes_too_long_is_killed() -> None:
    with pytest.raises(TimeoutError):
        await do_apart("services.inference.benchmark.drive", b"{}", 0.0)


def test_only_the_end_is_told_in_one_line() -> None:
    assert last_lines(io.BytesIO(b"one\n" * 9000 + b"\n  two\nthree\xff \n")) == "one one one two three\ufffd"
    assert last_lines(io.BytesIO(b"")) == ""


def test_how_it_ended_is_told_in_words() -> None:
    assert Said(b"", -9).end == "by signal 9, and left no word"
    assert Said(b"", 1, "Error: no").end == "with code 1: Error: no"

"""The end of a log is shown so that a person sees what went wrong."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from deploy.local.logs import bound_log, log_tail, readable, squeezed


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("plain words", "plain words"),
        ('{"level": "error", "message": "no luck"}', "error: no luck"),
        ('{"message": "started", "pid": 7}', "info: started"),
        ('{"no": "message"}', '{"no": "message"}'),
        ("[1]", "[1]"),
    ],
)
def test_a_json_line_is_told_as_level_and_message(line: str, text: str) -> None:
    assert readable(line) == text


def test_of_a_traceback_only_the_error_is_told() -> None:
    line = json.dumps({"level": "error", "message": "failed", "error": "Traceback:\n  File x\nValueError: too big"})

    assert readable(line) == "error: failed: ValueError: too big"


def test_an_error_that_the_message_tells_is_not_told_twice() -> None:
    line = json.dumps(
        {"level": "critical", "message": "the engine ended: too big", "traceback": "T\nValueError: too big"}
    )

    assert readable(line) == "critical: the engine ended: too big"


def test_a_line_without_end_is_cut() -> None:
    assert readable("x" * 1000) == "x" * 300 + " …"


def test_lines_that_repeat_are_counted() -> None:
    assert squeezed(["a", "b", "b", "b", "a"]) == ["a", "b (3 times)", "a"]


def test_the_tail_ends_with_the_last_line_and_says_where_the_rest_is(tmp_path: Path) -> None:
    log = tmp_path / "watcher.log"
    log.write_text("\n".join(f"line {n}" for n in range(100)))

    shown = log_tail(log).splitlines()

    assert shown[-2:] == ["    line 99", f"All of it: {log}"]
    assert len(shown) < 20


def test_a_missing_log_is_said_to_be_missing(tmp_path: Path) -> None:
    assert "no log" in log_tail(tmp_path / "none.log")


def test_a_log_that_has_grown_too_long_makes_room_and_its_writer_goes_on_at_the_new_end(tmp_path: Path) -> None:
    path = tmp_path / "part.log"
    with path.open("ab", buffering=0) as writer:
        for text in (b"oldest\n", b"older\n", b"newest\n"):
            bound_log(path, limit=5)
            writer.write(text)
        bound_log(path, limit=1000)
    assert path.read_text() == "newest\n"
    assert (tmp_path / "part.log.1").read_text() == "older\n"
    assert sorted(tmp_path.iterdir()) == [path, tmp_path / "part.log.1"]
    assert (tmp_path / "part.log.1").stat().st_mode & 0o777 == 0o600


def test_a_log_that_is_not_there_needs_no_room(tmp_path: Path) -> None:
    bound_log(tmp_path / "part.log", limit=5)

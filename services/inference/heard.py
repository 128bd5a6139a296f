"""Hears in vLLM's log which step of its start an engine is at, and how long each took.

Loaded into each worker with `measured`, since steps are logged in the engine's processes. They append what they hear
to one file, which the server's process reads. The sentences are those of vLLM 0.26 to 0.33; one that changes leaves
its step out of the trace, and hurts nothing.
"""

import json
import logging
import os
import re
from collections.abc import Iterable
from contextlib import suppress
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple

STEPS_FILE_ENV = "KAITOBUS_STEPS_FILE"


class Step(StrEnum):
    """A step inside of the engine's start."""

    DOWNLOAD = "download"
    LOAD = "load weights"
    COMPILE = "compile"
    GRAPHS = "graph capture"
    WARM_UP = "warm-up"


BEGINS = {
    Step.LOAD: re.compile(r"Starting to load model "),
    Step.WARM_UP: re.compile(r"Warming up model for the compilation"),
}
_SECONDS = r"(\d+(?:\.\d+)?)"
ENDS = {
    Step.DOWNLOAD: re.compile(rf"Time spent downloading weights for .*: {_SECONDS} seconds"),
    Step.LOAD: re.compile(rf"Loading weights took {_SECONDS} seconds"),
    Step.COMPILE: re.compile(rf"torch\.compile.* took {_SECONDS} s\b"),
    Step.GRAPHS: re.compile(rf"Graph capturing finished in {_SECONDS} secs"),
    Step.WARM_UP: re.compile(r"Warming up done()"),
}


class Heard(NamedTuple):
    """One step of one worker; times in nanoseconds since 1970. A step that goes on has no end yet."""

    step: Step
    start_ns: int
    end_ns: int | None = None


def hear(line: str, at_ns: int) -> Heard | None:
    """Return what a line logged at that time tells. "Warming up done" tells no seconds: its start is its end."""
    for step, pattern in ENDS.items():
        if match := pattern.search(line):
            return Heard(step, at_ns - int(float(match[1] or 0) * 1e9), at_ns)
    return next((Heard(step, at_ns) for step, pattern in BEGINS.items() if pattern.search(line)), None)


def read_steps(path: Path) -> list[Heard]:
    """Return each step that all workers together have taken, in the order they began; empty without a file."""
    try:
        lines = path.read_text().splitlines()
    except OSError:
        return []
    return merge(_parsed(lines))


def merge(heard: Iterable[Heard]) -> list[Heard]:
    """Return each step once: from the first worker's start to the last one's end."""
    found: dict[Step, Heard] = {}
    for one in heard:
        before = found.get(one.step, one)
        ends = [end for end in (before.end_ns, one.end_ns) if end is not None]
        found[one.step] = Heard(one.step, min(before.start_ns, one.start_ns), max(ends, default=None))
    return sorted(found.values(), key=lambda one: one.start_ns)


def _parsed(lines: Iterable[str]) -> Iterable[Heard]:
    for line in lines:
        with suppress(ValueError, TypeError):  # a line that is being written
            step, start_ns, end_ns = json.loads(line)
            yield Heard(Step(step), start_ns, end_ns)


class StepListener(logging.Handler):
    """Appends each step to the file. It never fails: logging goes on whatever happens to the file."""

    def __init__(self, path: Path) -> None:
        super().__init__(logging.INFO)
        self._path = path

    def emit(self, record: logging.LogRecord) -> None:
        """Write the step down if the line tells of one. One short write, so lines of two workers do not mix."""
        with suppress(Exception):  # a line that cannot be formatted is vLLM's to mend, a full disk nobody's here
            if found := hear(record.getMessage(), int(record.created * 1e9)):
                self._append(json.dumps(found) + "\n")

    def _append(self, line: str) -> None:
        number = os.open(self._path, os.O_WRONLY | os.O_APPEND)
        try:
            os.write(number, line.encode())
        finally:
            os.close(number)

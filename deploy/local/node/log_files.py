"""Logs of containers as the shim writes them (CRI format), read as `kubectl logs` asks for them."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

LAST_WORDS_LINES = 80
LAST_WORDS_BYTES = 2048
"""What Kubernetes allows for a termination message that is taken from the log."""


class LogQuery(NamedTuple):
    """What part of a log is asked for; the fields of PodLogOptions."""

    follow: bool = False
    previous: bool = False
    timestamps: bool = False
    tail_lines: int | None = None
    limit_bytes: int | None = None
    since: datetime | None = None


class Entry(NamedTuple):
    """One line of a log file. A line that is too long comes in several, all but the last not `complete`."""

    time: str
    text: bytes
    complete: bool

    def shown(self, *, timestamps: bool) -> bytes:
        """As it is sent to kubectl."""
        return (f"{self.time} ".encode() if timestamps else b"") + self.text + (b"\n" if self.complete else b"")


def parse_query(query: Mapping[str, str], now: datetime) -> LogQuery:
    """The query of a request for logs. Raises ValueError, with the parameter's name in it."""
    since = _time(query["sinceTime"]) if query.get("sinceTime") else None
    seconds = _number(query, "sinceSeconds")
    return LogQuery(
        follow=query.get("follow") == "true",
        previous=query.get("previous") == "true",
        timestamps=query.get("timestamps") == "true",
        tail_lines=_number(query, "tailLines"),
        limit_bytes=_number(query, "limitBytes"),
        since=now - timedelta(seconds=seconds) if seconds is not None else since,
    )


def _number(query: Mapping[str, str], name: str) -> int | None:
    text = query.get(name)
    if not text:
        return None
    if not text.isdigit():
        raise ValueError(f"{name} must be a whole number, 0 or more; it is {text!r}")
    return int(text)


def _time(text: str) -> datetime:
    try:
        at = datetime.fromisoformat(text)
    except ValueError as error:
        raise ValueError(f"sinceTime must be a time in RFC 3339; it is {text!r}") from error
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def parse_entry(line: bytes) -> Entry:
    """A line of a log file: time, stream, tag, text."""
    time, _, tag, text = [*line.rstrip(b"\n").split(b" ", 3), b"", b"", b""][:4]
    return Entry(time.decode(errors="replace"), text, tag != b"P")


def selected(lines: Iterable[bytes], query: LogQuery) -> Iterator[Entry]:
    """The entries that are asked for, by time and number."""
    entries = (parse_entry(line) for line in lines)
    if query.since:
        since = query.since.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        entries = (entry for entry in entries if entry.time >= since)
    return iter(entries if query.tail_lines is None else deque(entries, query.tail_lines))


def last_words(log: Path) -> str:
    """The end of a log, to say why a container ended."""
    tail = selected(Follower(log).read(), LogQuery(tail_lines=LAST_WORDS_LINES))
    text = b"".join(entry.shown(timestamps=False) for entry in tail)
    return text[-LAST_WORDS_BYTES:].decode(errors="replace").strip()


class Follower:
    """Reads a log from its beginning, then what is added to it, also when it is moved aside on the way."""

    def __init__(self, log: Path) -> None:
        self._log = log
        self._aside = log.with_name("log.1")
        self._inode = 0
        self._offset = 0
        self._rest = b""

    def read(self) -> list[bytes]:
        """The whole lines that are new. A log that is not there is empty."""
        *lines, self._rest = (self._rest + self._added()).split(b"\n")
        return lines

    def _added(self) -> bytes:
        if not self._log.exists():
            return b""
        inode, rest = self._log.stat().st_ino, b""
        if inode != self._inode:
            if self._aside.exists() and self._inode in (0, self._aside.stat().st_ino):
                rest = self._read(self._aside)
            self._inode, self._offset = inode, 0
        return rest + self._read(self._log)

    def _read(self, path: Path) -> bytes:
        with path.open("rb") as file:
            file.seek(self._offset)
            data = file.read()
        self._offset += len(data)
        return data

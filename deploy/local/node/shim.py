"""The parent of one container's process: keeps its log, sees how it ends, and outlives the node agent.

Run as a script of its own, with nothing but the standard library, so that it stays small (one for each container).
It reads what to run as JSON from standard input (it may hold secrets, so it is not written anywhere) and keeps
three files in its run directory: `run.json` (who runs), `log` (CRI format: time, stream, tag, line; rotated to
`log.1`) and `exit.json` (how it ended). Because the facts are in files, an agent that was killed finds them again.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import selectors
import signal
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

LOG_LIMIT = 10 * 1024 * 1024
LINE_LIMIT = 16 * 1024
"""Bytes after which a line is cut into parts, as container runtimes do."""
PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
START_ERROR = 128
"""Exit code of a process that could not be started, as containerd reports it."""
ENDED = "ended"
"""Marks the file descriptor that tells the end of the process, among those of its streams."""

libc = ctypes.CDLL(None, use_errno=True)


def now() -> str:
    """The time in RFC 3339 with microseconds, UTC."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def start_ticks(pid: int) -> int:
    """When a process started, in clock ticks since boot (field 22 of /proc/PID/stat, see proc(5))."""
    stat = Path(f"/proc/{pid}/stat").read_text()
    return int(stat.rpartition(")")[2].split()[19])


def oom_kills() -> int:
    """How many processes the kernel has killed for want of memory since boot."""
    with contextlib.suppress(OSError, ValueError):
        for line in Path("/proc/vmstat").read_text().splitlines():
            if line.startswith("oom_kill "):
                return int(line.split()[1])
    return 0


def write_json(path: Path, content: dict[str, object]) -> None:
    """Write a file that only the user can read, whole or not at all."""
    draft = path.with_suffix(".draft")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        json.dump(content, file)
    draft.replace(path)


class Log:
    """The log file of one run. At `LOG_LIMIT` it is moved aside; one older file is kept."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = self._open()
        self._size = 0
        self._pending: dict[str, bytes] = {}

    def _open(self) -> BinaryIO:
        descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        return os.fdopen(descriptor, "ab", buffering=0)

    def feed(self, stream: str, data: bytes) -> None:
        """Take a piece of output; write the lines that are complete, and parts of lines that are too long."""
        *lines, rest = (self._pending.get(stream, b"") + data).split(b"\n")
        for line in lines:
            self._write_parts(stream, line)
        while len(rest) > LINE_LIMIT:
            self._write(stream, "P", rest[:LINE_LIMIT])
            rest = rest[LINE_LIMIT:]
        self._pending[stream] = rest

    def close(self) -> None:
        """Write what has no line end yet."""
        for stream, rest in self._pending.items():
            if rest:
                self._write_parts(stream, rest)
        self._file.close()

    def _write_parts(self, stream: str, line: bytes) -> None:
        while len(line) > LINE_LIMIT:
            self._write(stream, "P", line[:LINE_LIMIT])
            line = line[LINE_LIMIT:]
        self._write(stream, "F", line)

    def _write(self, stream: str, tag: str, line: bytes) -> None:
        entry = b"%s %s %s %s\n" % (now().encode(), stream.encode(), tag.encode(), line)
        if self._size + len(entry) > LOG_LIMIT:
            self._rotate()
        with contextlib.suppress(OSError):  # A full disk must not end the container.
            self._size += self._file.write(entry)

    def _rotate(self) -> None:
        with contextlib.suppress(OSError):
            self._path.replace(self._path.with_name("log.1"))
            self._file.close()
            self._file = self._open()
            self._size = 0


def in_child() -> None:
    """Between fork and exec: the container ends when this shim does, however that ends."""
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


def spawn(spec: dict[str, object]) -> subprocess.Popen[bytes]:
    """Start the container's process in a session of its own. Raises OSError."""
    argv, env, cwd = spec["argv"], spec["env"], spec["cwd"]
    if not isinstance(argv, list) or not isinstance(env, dict):
        raise OSError("the run description is damaged")
    return subprocess.Popen(
        argv,
        env=env,
        cwd=str(cwd),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
        preexec_fn=in_child,  # Safe: this program has one thread.
    )


def pump(process: subprocess.Popen[bytes], log: Log) -> int:
    """Copy output to the log until the process has ended; return its wait status as Popen gives it."""
    with selectors.DefaultSelector() as selector:
        for stream, pipe in (("stdout", process.stdout), ("stderr", process.stderr)):
            if pipe:
                selector.register(pipe, selectors.EVENT_READ, stream)
        selector.register(os.pidfd_open(process.pid), selectors.EVENT_READ, ENDED)
        ended = False
        while not ended:
            ready = [key for key, _ in selector.select()]
            copy(ready, selector, log)
            ended = any(key.data == ENDED for key in ready)
        status = process.wait()
        end_group(process.pid)
        while last_words := [key for key, _ in selector.select(0) if key.data != ENDED]:
            copy(last_words, selector, log)
    return status


def copy(ready: list[selectors.SelectorKey], selector: selectors.BaseSelector, log: Log) -> None:
    """Copy what can be read now; stop listening to streams that were closed."""
    for key in ready:
        if key.data == ENDED:
            continue
        data = os.read(key.fd, 65536)
        if data:
            log.feed(key.data, data)
        else:
            selector.unregister(key.fileobj)


def end_group(pid: int) -> None:
    """Kill what the container has left behind: its process group, then whatever was handed to this shim."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)
    children = Path(f"/proc/self/task/{os.getpid()}/children")
    with contextlib.suppress(ChildProcessError, OSError):
        while left := children.read_text().split():
            for child in left:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(child), signal.SIGKILL)
            os.waitpid(-1, 0)


def outcome(status: int, kills_before: int) -> dict[str, object]:
    """How the process ended, in the words of a container's `terminated` state."""
    code = 128 - status if status < 0 else status
    reason = "Completed" if code == 0 else "Error"
    if status == -signal.SIGKILL and oom_kills() > kills_before:
        reason = "OOMKilled"
    return {"exitCode": code, "signal": max(0, -status), "reason": reason, "message": ""}


def run(folder: Path, spec: dict[str, object]) -> dict[str, object]:
    """Run the container to its end."""
    kills = oom_kills()
    record: dict[str, object] = {
        "shim": {"pid": os.getpid(), "startTicks": start_ticks(os.getpid())},
        "crashes": spec.get("crashes", 0),
        "startedAt": now(),
    }
    write_json(folder / "run.json", record)
    try:
        process = spawn(spec)
    except (OSError, subprocess.SubprocessError) as error:
        return {"exitCode": START_ERROR, "signal": 0, "reason": "StartError", "message": str(error)}
    with contextlib.suppress(OSError):  # It may be over already.
        record["process"] = {"pid": process.pid, "startTicks": start_ticks(process.pid)}
    write_json(folder / "run.json", record)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # Closing the pipe tells the agent that the facts are written.
    log = Log(folder / "log")
    try:
        return outcome(pump(process, log), kills)
    finally:
        log.close()


def main() -> None:
    """`shim.py RUN_DIRECTORY`, with the description of the run on standard input."""
    folder = Path(sys.argv[1])
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    libc.prctl(PR_SET_CHILD_SUBREAPER, 1)
    spec = json.load(sys.stdin)
    ended = run(folder, spec)
    write_json(folder / "exit.json", ended | {"finishedAt": now()})


if __name__ == "__main__":
    main()

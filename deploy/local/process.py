"""Processes that outlive the one who starts them: described as data, started, found again, ended.

A process is known by its pid together with its start time and the machine's boot id, and this is written
to `<run folder>/<name>.json`. A pid that the kernel has given to somebody else is never taken for ours.
Linux only: it reads /proc.
"""

import asyncio
import os
import shutil
import signal
import ssl
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import aiohttp
from pydantic import BaseModel, ConfigDict, Field, ValidationError

_POLL_S = 0.05
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_LAST_LINES = 15
_SHELL = "/bin/sh"
_WAIT = 'read -r _ && exec "$@" </dev/null'


class ProcessError(Exception):
    """A process ended, or was not ready in time; the message carries the last lines of its log."""


class Ready(BaseModel):
    """How to ask a process whether it serves: GET `url` answers 200."""

    model_config = ConfigDict(frozen=True)

    url: str
    ca_file: Path | None = None
    """The certificate authority that an https `url` is checked against."""

    def tls(self) -> ssl.SSLContext:
        """Return a context that trusts that authority, and without one nobody.

        Not the machine's: to read those takes 60 ms, and who waits for a process asks many times.
        """
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        if self.ca_file:
            context.load_verify_locations(self.ca_file)
        return context


class ProcessSpec(BaseModel):
    """What to start, and how to see that it works."""

    model_config = ConfigDict(frozen=True)

    name: str
    argv: tuple[str, ...]
    env: dict[str, str] = Field(default_factory=dict)
    """The whole environment of the process; nothing is inherited but PATH and HOME, unless set here."""
    ready: Ready | None = None
    log_path: Path
    grace_s: float = 10.0
    """Seconds between SIGTERM and SIGKILL."""


class RunningProcess(BaseModel):
    """A started process, as recorded in the run folder."""

    model_config = ConfigDict(frozen=True)

    name: str
    pid: int
    start_time: int
    """Clock ticks since boot, field 22 of /proc/PID/stat (proc(5))."""
    boot_id: str
    argv: tuple[str, ...]


def spawn(spec: ProcessSpec, run_folder: Path) -> RunningProcess:
    """Start `spec` in a session of its own and record it. Raises ProcessError when it cannot be started.

    Its output is appended to `spec.log_path`, which only the user can read.
    """
    run_folder.mkdir(parents=True, exist_ok=True)
    spec.log_path.parent.mkdir(parents=True, exist_ok=True)
    environment = environment_of(spec)
    if shutil.which(spec.argv[0], path=environment.get("PATH")) is None:
        text = "No such file, or it may not be executed"
        raise ProcessError(f"{spec.name} cannot be started: {spec.argv[0]}: {text}")
    told, tell = os.pipe()
    try:
        process = record(spec, _spawn_waiting(spec, environment, told), run_folder)
        os.write(tell, b"\n")
    finally:
        os.close(told)
        os.close(tell)
    return process


def environment_of(spec: ProcessSpec) -> dict[str, str]:
    """Return the whole environment that the process gets."""
    return {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ} | spec.env


def record(spec: ProcessSpec, pid: int, run_folder: Path) -> RunningProcess:
    """Write down that `spec` runs as that process, for whoever starts, adopts or ends it next."""
    stat = _stat(pid)
    start_time = stat.start_time if stat else 0
    process = RunningProcess(name=spec.name, pid=pid, start_time=start_time, boot_id=_boot_id(), argv=spec.argv)
    draft = run_folder / f".{process.name}.json"
    draft.write_text(process.model_dump_json())
    draft.rename(run_folder / f"{process.name}.json")
    return process


def _spawn_waiting(spec: ProcessSpec, environment: Mapping[str, str], told: int) -> int:
    """Start a shell that becomes the program once it is told a line, and ends where nobody can tell it any more.

    So whoever starts it may be killed before the process is recorded: nothing runs then that nobody knows of.
    """
    actions = (
        (os.POSIX_SPAWN_DUP2, told, 0),
        (os.POSIX_SPAWN_OPEN, 1, str(spec.log_path), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600),
        (os.POSIX_SPAWN_DUP2, 1, 2),
    )
    argv = (_SHELL, "-c", _WAIT, _SHELL, *spec.argv)
    try:
        return os.posix_spawn(_SHELL, argv, environment, file_actions=actions, setsid=True)
    except OSError as error:
        raise ProcessError(f"{spec.name} cannot be started: {spec.log_path}: {error.strerror}") from error


def recorded(name: str, run_folder: Path) -> RunningProcess | None:
    """Return the process last started under `name`, whether it lives or not; None when there is no record."""
    try:
        return RunningProcess.model_validate_json((run_folder / f"{name}.json").read_bytes())
    except (FileNotFoundError, ValidationError):
        return None


def alive(name: str, run_folder: Path) -> RunningProcess | None:
    """Return the process recorded under `name` if it lives, so that a starter can adopt it."""
    process = recorded(name, run_folder)
    return process if process and is_alive(process) else None


def forget(process: RunningProcess, run_folder: Path) -> None:
    """Remove the record of a process that has ended."""
    (run_folder / f"{process.name}.json").unlink(missing_ok=True)


def is_of_earlier_boot(process: RunningProcess) -> bool:
    """Tell whether the machine was started anew after the process: how that ended, nobody can say."""
    return process.boot_id != _boot_id()


def is_alive(process: RunningProcess) -> bool:
    """Tell whether this very process still runs. One that has ended is reaped here if it is our child."""
    stat = _stat(process.pid)
    if stat is None or is_of_earlier_boot(process) or process.start_time != stat.start_time:
        return False
    if stat.ended:
        with suppress(ChildProcessError):  # adopted from an earlier parent: then it is not ours to reap
            return os.waitpid(process.pid, os.WNOHANG)[0] == 0
    return not stat.ended


async def terminate(process: RunningProcess, grace_s: float = 10.0) -> None:
    """Send SIGTERM to the process and its group, and SIGKILL to all of it if it lives after `grace_s` seconds.

    Does nothing when it has ended already. Raises ProcessError if it does not even end by SIGKILL.
    """
    for number, limit_s in ((signal.SIGTERM, grace_s), (signal.SIGKILL, 5.0)):
        if not is_alive(process):
            return
        with suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        if await _gone(process, limit_s):
            return
    raise ProcessError(f"{process.name} (pid {process.pid}) does not end, not even by SIGKILL")


async def ensure_running(spec: ProcessSpec, run_folder: Path, limit_s: float = 60.0) -> RunningProcess:
    """Adopt the process that `spec` describes, or start it, and wait until it is ready.

    One that runs under this name with other arguments is ended first. Raises ProcessError.
    """
    process = alive(spec.name, run_folder)
    if process and process.argv != spec.argv:
        await terminate(process)
        process = None
    process = process or spawn(spec, run_folder)
    await wait_ready(spec, process, limit_s)
    return process


async def wait_ready(spec: ProcessSpec, process: RunningProcess, limit_s: float = 60.0) -> None:
    """Wait until `spec.ready` answers. Raises ProcessError when the process ends or `limit_s` passes first."""
    if spec.ready is None:
        return
    deadline = time.monotonic() + limit_s
    connector = aiohttp.TCPConnector(ssl=spec.ready.tls())
    timeout = aiohttp.ClientTimeout(total=2)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
        while not await _answers(session, spec.ready.url):
            if not is_alive(process):
                raise ProcessError(f"{spec.name} has ended. {_log_tail(spec.log_path)}")
            if time.monotonic() > deadline:
                raise ProcessError(f"{spec.name} was not ready after {limit_s:.0f} s. {_log_tail(spec.log_path)}")
            await asyncio.sleep(_POLL_S)


async def _answers(session: aiohttp.ClientSession, url: str) -> bool:
    try:
        async with session.get(url) as response:
            return response.status == 200
    except (aiohttp.ClientError, TimeoutError):
        return False


async def _gone(process: RunningProcess, limit_s: float) -> bool:
    deadline = time.monotonic() + limit_s
    while is_alive(process):
        if time.monotonic() > deadline:
            return False
        await asyncio.sleep(_POLL_S)
    return True


class _Stat(NamedTuple):
    """What /proc/PID/stat says."""

    start_time: int
    ended: bool
    """It is a zombie: ended, but not yet reaped by its parent. One whose first thread alone has ended looks like it
    until the others have ended, too, and cannot be reaped before; so it has not."""


def _stat(pid: int) -> _Stat | None:
    try:
        line = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The second field is the program's name in brackets and may hold anything, so count from its end.
    fields = line.rpartition(")")[2].split()
    state, threads, start_time = fields[0], int(fields[17]), int(fields[19])
    return _Stat(start_time=start_time, ended=state in "ZX" and threads <= 1)


def _boot_id() -> str:
    return _BOOT_ID.read_text().strip()


def _log_tail(path: Path) -> str:
    with path.open("rb") as log:
        log.seek(0, os.SEEK_END)
        log.seek(max(0, log.tell() - 8192))
        lines = log.read().decode(errors="replace").splitlines()[-_LAST_LINES:]
    return "\n".join(["Its last lines:", *(f"    {line[:300]}" for line in lines), f"The whole log: {path}"])

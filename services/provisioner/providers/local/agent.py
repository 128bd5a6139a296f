"""Node agents as processes: started in a session of their own, found again, told to end. Linux: it reads /proc."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from services.contracts.errors import FailureCode, ProviderError
from services.provisioner.provider import InstanceSpec
from services.provisioner.providers.local.machine import size_of
from services.provisioner.providers.local.records import ProcessId
from services.provisioner.providers.local.settings import LocalSettings

INHERITED: Final = ("PATH", "HOME", "LANG", "TMPDIR", "PYTHONPATH", "VIRTUAL_ENV", "LD_LIBRARY_PATH")
"""What an agent gets of our environment. The address of the bus, with its token, is none of its business."""


class Agents:
    """Starts and ends node agents. Blocks for moments: call it from a thread."""

    def __init__(self, settings: LocalSettings) -> None:
        self._settings = settings

    def start(self, spec: InstanceSpec, gpus: int, folder: Path) -> ProcessId:
        """Start the agent, or adopt one that runs for this folder though nobody has recorded it.

        Raises `ProviderError` (Internal) when it cannot be started.
        """
        if (found := find(f"--state-dir={folder}")) is not None:
            return found
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        argv = self._command(spec, gpus, folder)
        log = (os.POSIX_SPAWN_OPEN, 1, str(log_path(folder)), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        files = ((os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0), log, (os.POSIX_SPAWN_DUP2, 1, 2))
        try:
            pid = os.posix_spawnp(argv[0], argv, _environment(), file_actions=files, setsid=True)
        except OSError as error:
            text = f"the node agent cannot be started: {argv[0]}: {error.strerror}"
            raise ProviderError(FailureCode.INTERNAL, text) from error
        return ProcessId(pid=pid, start_ticks=_start_ticks(pid) or 0, boot_id=_boot_id())

    def _command(self, spec: InstanceSpec, gpus: int, folder: Path) -> list[str]:
        """The agent's command line. Each option is one word, so that `find` can recognise it."""
        settings = self._settings
        options: dict[str, object] = {
            "name": spec.name,
            "kubeconfig": settings.kubeconfig.expanduser().absolute(),
            "state-dir": folder,
            "labels": ",".join(f"{key}={value}" for key, value in sorted(spec.labels.items()) if value),
            "taints": ",".join(spec.taints),
            "memory": f"{size_of(spec.instance_type)}Gi",
            "gpus": gpus,
            "instance-type": spec.instance_type,
            "provider-id": f"kaitobus-local://{spec.name}",
            "images": settings.images,
            "model-dir": settings.model_dir,
            "client-ca": settings.client_ca,
            "tls-cert": settings.tls_cert,
            "tls-key": settings.tls_key,
        }
        return [*settings.agent, *(f"--{name}={value}" for name, value in options.items() if value)]


def log_path(folder: Path) -> Path:
    """Where an agent writes what it has to say."""
    return folder / "agent.log"


def last_words(folder: Path) -> str:
    """The last line of an agent's log, for a person."""
    with suppress(OSError):
        lines = log_path(folder).read_bytes()[-4096:].decode(errors="replace").strip().splitlines()
        return lines[-1][:300] if lines else "it said nothing"
    return "it left no log"


def is_alive(process: ProcessId | None) -> bool:
    """Whether this very process runs. One that has ended is reaped, if it is a child of ours."""
    if process is None:
        return False
    with suppress(ChildProcessError):
        os.waitpid(process.pid, os.WNOHANG)
    return process.boot_id == _boot_id() and process.start_ticks == _start_ticks(process.pid)


def tell_to_end(process: ProcessId, *, kill: bool = False) -> None:
    """SIGTERM to the agent: it ends its pods first. `kill`: SIGKILL, to all of its session."""
    if is_alive(process):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL) if kill else os.kill(process.pid, signal.SIGTERM)


def find(word: str) -> ProcessId | None:
    """A process that has this word on its command line."""
    for pid in _pids():
        with suppress(OSError):
            if word.encode() in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0"):
                ticks = _start_ticks(pid)
                return ProcessId(pid=pid, start_ticks=ticks, boot_id=_boot_id()) if ticks else None
    return None


def _pids() -> Iterator[int]:
    return (int(name) for name in os.listdir("/proc") if name.isdigit())


def _environment() -> dict[str, str]:
    otel = {name: value for name, value in os.environ.items() if name.startswith("OTEL_EXPORTER_")}
    return otel | {name: os.environ[name] for name in INHERITED if name in os.environ}


def _start_ticks(pid: int) -> int | None:
    """When a process started, field 22 of /proc/PID/stat (proc(5)); None if it has ended."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    # The program's name, in brackets, may hold anything: count from behind it.
    fields = stat.rpartition(")")[2].split()
    state, threads, start_ticks = fields[0], int(fields[17]), int(fields[19])
    return None if state in "ZX" and threads <= 1 else start_ticks


def _boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()

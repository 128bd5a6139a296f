"""What this machine has, and how it is doing now. Linux only: it reads /proc."""

from __future__ import annotations

import os
import platform
import shutil
from pathlib import Path
from typing import NamedTuple


class Machine(NamedTuple):
    """A look at the machine. Sizes in bytes."""

    cpus: int
    memory_total: int
    memory_available: int
    disk_total: int
    disk_free: int
    inodes_free_share: float
    """0 to 1; 1 where the file system has no fixed number of inodes."""
    threads: int
    threads_limit: int
    kernel: str
    os_image: str
    machine_id: str
    boot_id: str
    arch: str


_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


def look(folder: Path) -> Machine:
    """Measure. The disk is the one that `folder` lies on."""
    memory, disk, inodes = _meminfo(), shutil.disk_usage(folder), os.statvfs(folder)
    return Machine(
        cpus=len(os.sched_getaffinity(0)),
        memory_total=memory["MemTotal"],
        memory_available=memory["MemAvailable"],
        disk_total=disk.total,
        disk_free=disk.free,
        inodes_free_share=inodes.f_favail / inodes.f_files if inodes.f_files else 1.0,
        threads=int(Path("/proc/loadavg").read_text().split()[3].partition("/")[2]),
        threads_limit=int(Path("/proc/sys/kernel/threads-max").read_text()),
        kernel=platform.release(),
        os_image=_os_image(),
        machine_id=_text(Path("/etc/machine-id")),
        boot_id=_text(Path("/proc/sys/kernel/random/boot_id")),
        arch=_ARCHITECTURES.get(platform.machine(), platform.machine()),
    )


def _meminfo() -> dict[str, int]:
    lines = (line.split() for line in Path("/proc/meminfo").read_text().splitlines())
    return {name.rstrip(":"): int(size) * 1024 for name, size, *_ in lines}


def _os_image() -> str:
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except (OSError, KeyError):
        return platform.system()


def _text(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""

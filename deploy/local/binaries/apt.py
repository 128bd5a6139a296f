"""Fetches Debian packages and their sources as any user: apt with folders of its own.

Which servers are asked is the machine's configuration, read and not changed. It is copied because a fresh
machine seldom lists sources (`deb-src`), and because updating the system's own lists needs root.
"""

import re
from pathlib import Path

from deploy.local.binaries.command import run

SYSTEM = Path("/etc/apt")
_STATUS = Path("/var/lib/dpkg/status")


class Apt:
    """apt-get that keeps lists, cache and configuration of sources below `folder`."""

    def __init__(self, folder: Path, log: Path, system: Path = SYSTEM) -> None:
        self._folder = folder
        self._log = log
        self._system = system

    async def update(self) -> None:
        """Read the lists of packages and of sources. Raises CommandError, as all methods here."""
        for name in ("state/lists/partial", "cache/archives/partial", "sources"):
            (self._folder / name).mkdir(parents=True, exist_ok=True)
        copy_sources(self._system, self._folder / "sources")
        await self._run("update", cwd=self._folder)

    async def download(self, packages: list[str], into: Path) -> None:
        """Put the `.deb` files of binary packages into the folder `into`."""
        await self._run("download", *packages, cwd=into)

    async def download_source(self, package: str, into: Path) -> None:
        """Put the files of a source package into the folder `into`, as they are published."""
        await self._run("source", "--only-source", "--download-only", package, cwd=into)

    async def _run(self, *arguments: str, cwd: Path) -> None:
        options = {
            "Dir::State": self._folder / "state",
            "Dir::State::status": _STATUS,
            "Dir::Cache": self._folder / "cache",
            "Dir::Etc::sourcelist": self._folder / "sources" / "sources.list",
            "Dir::Etc::sourceparts": self._folder / "sources" / "sources.list.d",
            # Run by root, apt would fetch as user _apt, who may not write here.
            "APT::Sandbox::User": "root",
            "Acquire::Retries": 2,
            "Acquire::http::Timeout": 20,
            "Acquire::https::Timeout": 20,
        }
        flags = [part for key, value in options.items() for part in ("-o", f"{key}={value}")]
        await run(["apt-get", "-y", "-q", *flags, *arguments], log=self._log, cwd=cwd, limit_s=300)


def copy_sources(system: Path, private: Path) -> None:
    """Copy the machine's lists of package sources from `system` to `private`, with sources switched on."""
    parts = private / "sources.list.d"
    parts.mkdir(parents=True, exist_ok=True)
    (private / "sources.list").write_text("")
    for path in (system / "sources.list", *(system / "sources.list.d").glob("*")):
        if path.suffix == ".sources":
            (parts / path.name).write_text(_with_sources_deb822(path.read_text()))
        elif path.suffix == ".list" and path.is_file():
            copied = private / path.relative_to(system)
            copied.write_text(_with_sources_one_line(path.read_text()))


def _with_sources_deb822(text: str) -> str:
    return re.sub(r"(?mi)^types:.*$", "Types: deb deb-src", text)


def _with_sources_one_line(text: str) -> str:
    lines = re.findall(r"(?m)^\s*deb\s+(.*)$", text)
    return "".join(f"deb {line}\ndeb-src {line}\n" for line in lines)

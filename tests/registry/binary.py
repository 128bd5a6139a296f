"""Fetches the program of the registry as any user: from PATH, from the cache, else from Debian's package."""

from __future__ import annotations

import shutil
from pathlib import Path

from filelock import AsyncFileLock

from deploy.local.binaries.apt import Apt
from deploy.local.binaries.command import run
from deploy.local.engine.cache import cache_home

NAME = "docker-registry"


async def registry_binary() -> Path:
    """Return the program. Raises BinariesError if it cannot be had."""
    found = shutil.which(NAME)
    if found:
        return Path(found)
    folder = cache_home() / "registry"
    program = folder / "usr" / "bin" / NAME
    folder.mkdir(parents=True, exist_ok=True)
    async with AsyncFileLock(folder / ".lock"):
        if not program.exists():
            await _fetch(folder)
    return program


async def _fetch(folder: Path) -> None:
    log = folder / "fetch.log"
    draft = folder / "draft"
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir()
    apt = Apt(folder / "apt", log)
    await apt.update()
    await apt.download([NAME], draft)
    package = next(draft.glob("*.deb"))
    await run(["dpkg", "-x", str(package), str(draft / "root")], log=log)
    shutil.rmtree(folder / "usr", ignore_errors=True)
    (draft / "root" / "usr").rename(folder / "usr")
    shutil.rmtree(draft)

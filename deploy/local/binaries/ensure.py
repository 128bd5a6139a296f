"""Gets the control plane's programs, by the first way that works."""

import os
from pathlib import Path

from filelock import AsyncFileLock, Timeout

from deploy.local.binaries.kubernetes_source import build_from_source
from deploy.local.binaries.lookup import cache_folder, find_binaries
from deploy.local.binaries.model import Binaries, Progress
from deploy.local.binaries.release import ReleaseError, download_release


async def ensure_control_plane(progress: Progress) -> Binaries:
    """Return the four programs: found on this machine, else downloaded, else built from source.

    Looked for in KUBEBUILDER_ASSETS, on PATH and in the user's cache; what is fetched goes into the cache.
    Nothing outside the cache is written and no root is needed. Raises BinariesError.
    """
    return find_binaries(os.environ, progress) or await _fetch_once(cache_folder(os.environ), progress)


async def _fetch_once(cache: Path, progress: Progress) -> Binaries:
    """Fetch under a lock: of two processes, one fetches and the other finds what it fetched."""
    cache.mkdir(parents=True, exist_ok=True)
    lock = AsyncFileLock(cache / ".lock")
    try:
        await lock.acquire(timeout=0)
    except Timeout:
        progress("another process is getting the Kubernetes programs; waiting for it")
        await lock.acquire()
    try:
        return find_binaries(os.environ, lambda _: None) or await _fetch(cache, progress)
    finally:
        await lock.release()


async def _fetch(cache: Path, progress: Progress) -> Binaries:
    try:
        return await download_release(cache, progress)
    except ReleaseError as error:
        progress(f"the official release cannot be downloaded ({error})")
    return await build_from_source(cache, progress)

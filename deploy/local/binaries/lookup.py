"""Looks for programs that are already on this machine: named folder first, then PATH, then the cache."""

import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path

from deploy.local.binaries.model import NAMES, Binaries, Progress

ASSETS_VARIABLE = "KUBEBUILDER_ASSETS"
"""The field's usual name for a folder of control plane programs (controller-runtime's envtest reads it)."""


def cache_folder(env: Mapping[str, str]) -> Path:
    """Return where this package keeps what it fetched: one folder for each Kubernetes version.

    Follows the XDG base directory specification: a relative XDG_CACHE_HOME does not count.
    """
    base = Path(env.get("XDG_CACHE_HOME", ""))
    if not base.is_absolute():
        base = Path(env.get("HOME") or Path.home()) / ".cache"
    return base / "kaitobus" / "kubernetes"


def find_binaries(env: Mapping[str, str], progress: Progress) -> Binaries | None:
    """Return the first complete set of programs: KUBEBUILDER_ASSETS, PATH, cache; None if there is none."""
    return _named(env, progress) or _on_path(env.get("PATH", os.defpath)) or _cached(cache_folder(env))


def missing_in(folder: Path) -> list[str]:
    """Return which of the four programs `folder` does not hold as executable files."""
    return [name for name in NAMES if not _executable(folder / name)]


def _executable(path: Path) -> bool:
    return path.is_file() and os.access(path, os.X_OK)


def _named(env: Mapping[str, str], progress: Progress) -> Binaries | None:
    folder = env.get(ASSETS_VARIABLE)
    if not folder:
        return None
    missing = missing_in(Path(folder))
    if missing:
        progress(f"{ASSETS_VARIABLE}={folder} has no {', '.join(missing)}: looking further")
        return None
    return Binaries.in_folder(Path(folder).absolute())


def _on_path(path: str) -> Binaries | None:
    found = {name.replace("-", "_"): shutil.which(name, path=path) for name in NAMES}
    return Binaries.model_validate(found) if all(found.values()) else None


def _cached(cache: Path) -> Binaries | None:
    folders = [folder for folder in cache.glob("v*") if not missing_in(folder)]
    return Binaries.in_folder(max(folders, key=_version)) if folders else None


def _version(folder: Path) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", folder.name))

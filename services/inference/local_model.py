"""Replaces a model's name on the command line by its folder on this node, where the node has one."""

import re
from collections.abc import Sequence
from pathlib import Path

MODEL_DIR_ENV = "KAITOBUS_MODEL_DIR"
"""Set by a node that keeps models: a folder with one folder a model, named by `folder_name`."""

_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")
"""An id of the Hugging Face hub: owner and name."""


def folder_name(model: str) -> str:
    """Return the folder a Hugging Face id is kept under: the whole id in lower case, `--` for the slash.

    The owner is part of it: a model of another owner may have the same name, and must not be served instead.
    """
    return model.lower().replace("/", "--")


def use_local_model(argv: Sequence[str], model_dir: str | None) -> tuple[list[str], bool]:
    """Return vLLM's arguments with `--model X` pointing into `model_dir`, and whether that was done.

    Nothing changes where the node keeps no such model. Clients go on calling the model by its name: without a
    `--served-model-name` the name that was given becomes it, or the folder of this node would.
    """
    at, model = _find(argv)
    folder = Path(model_dir or "", folder_name(model))
    if not model_dir or not _ID.fullmatch(model) or not folder.is_dir():
        return list(argv), False
    width = 1 if argv[at].startswith("--model=") else 2
    local = [*argv[:at], "--model", str(folder), *argv[at + width :]]
    named = any(argument.split("=")[0] == "--served-model-name" for argument in argv)
    return local if named else [*local, "--served-model-name", model], True


def _find(argv: Sequence[str]) -> tuple[int, str]:
    """Return where `--model` stands and what it says; an empty model if it is not given."""
    for at, argument in enumerate(argv):
        if argument.startswith("--model="):
            return at, argument.removeprefix("--model=")
        if argument == "--model" and at + 1 < len(argv):
            return at, argv[at + 1]
    return 0, ""

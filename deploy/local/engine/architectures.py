"""`python -m deploy.local.engine.architectures`: writes `presets/architectures.yaml` from the engine's registry."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict, ValidationError

from deploy.local.engine.cache import EngineSetupError
from deploy.local.engine.environment import REPOSITORY, EngineEnv, ensure_engine

FILE = REPOSITORY / "presets" / "architectures.yaml"
MODULE = "deploy.local.engine.list_architectures"
LIMIT_S = 300.0
HEAD = """\
# Architectures of models (config.json: architectures) that the engine loads, as its own registry names them.
# text: models that answer with text; without_lora: those of them that take no LoRA adapters, as their classes say;
# other: they embed, score, or draft for another model;
# transformers: models that answer with text by transformers itself, for which there is a runtime of its own.
# Written by `make architectures`; do not edit.
"""


class Listed(BaseModel):
    """What the engine's registry has."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    engine: str
    text: tuple[str, ...]
    without_lora: tuple[str, ...]
    other: tuple[str, ...]
    transformers: tuple[str, ...]


def ask_engine(env: EngineEnv) -> Listed:
    """Ask the engine's registry. Raises EngineSetupError if it does not answer."""
    try:
        command = [str(env.python), "-m", MODULE]
        done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=LIMIT_S)
        return Listed.model_validate_json(done.stdout.strip().rpartition("\n")[2])
    except subprocess.TimeoutExpired as error:
        raise EngineSetupError(f"The engine's registry gave no answer within {LIMIT_S:.0f} s.") from error
    except ValidationError as error:
        raise EngineSetupError(f"The engine's registry cannot be read: {done.stderr.strip()[-1000:]}") from error


def render(listed: Listed) -> str:
    """The file's text; one name a line, so that a change of the engine shows what came and went."""
    lists = {
        "text": listed.text,
        "without_lora": listed.without_lora,
        "other": listed.other,
        "transformers": listed.transformers,
    }
    shown = "".join(f"{name}:\n{_lines(names)}" for name, names in lists.items())
    return f"{HEAD}engine: {listed.engine}\n{shown}"


def main() -> int:
    """Write the file; 0 if that could be done."""
    try:
        FILE.write_text(render(ask_engine(ensure_engine(_show))), encoding="utf-8")
    except EngineSetupError as error:
        _show(str(error))
        return 1
    return 0


def _lines(names: Sequence[str]) -> str:
    return "".join(f"- {name}\n" for name in names)


def _show(line: str) -> None:
    sys.stderr.write(f"{line}\n")


if __name__ == "__main__":
    sys.exit(main())

"""Why a run ends without a result: words for a person, and whether the same again may end otherwise."""

from __future__ import annotations

import errno
import json
import math
from contextlib import suppress
from pathlib import Path
from typing import Final

from services.tuning.exit_codes import ExitCode

FULL: Final = (errno.ENOSPC, errno.EDQUOT)
DISK_FULL: Final = (
    "The disk is full: data, model, checkpoints and result do not fit. Use less data, or a machine with a larger disk."
)


_MEMORY: Final = "Most likely the machine's memory ran out: use a smaller batch or shorter examples."


class TuningError(Exception):
    """A run cannot go on. The message is for a person; `code` says whether it is worth another try."""

    def __init__(self, message: str, code: ExitCode = ExitCode.BAD_INPUT) -> None:
        super().__init__(message)
        self.code = code

    def write(self, path: Path) -> None:
        """Leave it for the process that started this one. Of several processes the first tells the cause."""
        with suppress(FileExistsError), path.open("x") as file:
            file.write(json.dumps({"message": str(self), "code": int(self.code)}))


def read_failure(path: Path) -> TuningError | None:
    """What a process has left, if it has."""
    try:
        found = json.loads(path.read_text())
        return TuningError(str(found["message"]), ExitCode(found["code"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def of_os_error(error: OSError) -> TuningError:
    """What an error of the disk means."""
    if error.errno in FULL:
        return TuningError(DISK_FULL)
    return TuningError(f"The files cannot be read or written: {error}.", ExitCode.PASSES)


def killed(signal: int, doing: str) -> TuningError:
    """A process of ours was killed. It was not us."""
    memory = f" {_MEMORY}" if signal == 9 else ""
    return TuningError(f"The process was killed by signal {signal} while {doing}.{memory}", ExitCode.PASSES)


def ended(code: int, processes: int) -> TuningError:
    """A process of ours ended without a word of its own; of several, their launcher knows which."""
    if processes == 1:
        return TuningError(f"The process ended with exit code {code}; its log says more.", ExitCode.PASSES)
    return TuningError(
        f"One of the {processes} processes that train side by side ended, and the others with it. The log says which, "
        f"and how. If it was killed by signal 9: {_MEMORY[0].lower()}{_MEMORY[1:]}",
        ExitCode.PASSES,
    )


def check_loss(loss: float, step: int) -> None:
    """Raises TuningError where the loss is no number any more: what is trained from there on is worth nothing."""
    if math.isfinite(loss):
        return
    raise TuningError(
        f"The loss became {loss} at step {step}: the training has diverged. Lower TrainingArguments.learning_rate, or "
        "set ModelConfig.torch_dtype to float32."
    )

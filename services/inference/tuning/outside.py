"""Turns what the libraries raise into words for a person, at the edge of a process that trains or measures."""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Final

from services.inference.logs import configure_logs
from services.inference.tuning.failure import DISK_FULL, TuningError, ended, of_os_error
from services.inference.tuning.spec import Spec
from services.tuning.exit_codes import ExitCode

_NO_ROOM: Final = 2**20
_MEMORY: Final = ("out of memory", "can't allocate memory", "cannot allocate memory", "Unable to allocate")
_SETTINGS: Final = (
    "Target modules",
    "No modules were targeted",
    "target_modules",
    "assistant_only_loss",
    "chat_template",
)
"""Of errors that tell a person which setting is wrong."""
_OTHERS: Final = ("Connection closed by peer", "ProcessGroup", "NCCL", "gloo")
"""Of what a process raises when one that it trains beside has ended."""


def ending_in_words(work: Callable[[Spec], None], file: Path) -> int:
    """Do the work for the run that a file describes; the exit code. A failure is left for whoever asked for it."""
    spec = Spec.model_validate_json(file.read_text())
    log = configure_logs(os.environ.get("TRACEPARENT"))
    try:
        work(spec)
    except Exception as error:
        failure = in_words(error, spec)
        log.log(logging.ERROR, "%s", failure, exc_info=None if isinstance(error, TuningError) else error)
        failure.write(spec.failure)
        return failure.code
    return ExitCode.DONE


def in_words(error: Exception, spec: Spec) -> TuningError:
    """What an error means for the person whose run it was."""
    if isinstance(error, TuningError):
        return error
    text = " ".join(str(error).split())
    if "No space left on device" in text or shutil.disk_usage(spec.work).free < _NO_ROOM:
        return TuningError(DISK_FULL)
    if isinstance(error, MemoryError) or any(sign in text for sign in _MEMORY):
        return _memory(spec)
    if any(sign in text for sign in _SETTINGS):
        return TuningError(f"The settings do not fit {spec.name}: {text[:400]}")
    if spec.processes > 1 and any(sign in text for sign in _OTHERS):
        return ended(1, spec.processes)
    hub = _of_hub(error, spec)
    if hub:
        return hub
    if isinstance(error, OSError) and error.errno:
        return of_os_error(error)
    return TuningError(f"{type(error).__name__}: {text[:400]}", ExitCode.PASSES)


def _memory(spec: Spec) -> TuningError:
    given = spec.config.training
    smaller = "" if given.gradient_checkpointing else ", set gradient_checkpointing to true"
    method = ", or use the method qlora" if spec.method == "lora" else ""
    return TuningError(
        f"Memory ran out with a batch of {given.per_device_train_batch_size}. Lower per_device_train_batch_size or "
        f"max_length in TrainingArguments{smaller}{method}, or name a larger instance type."
    )


def _of_hub(error: Exception, spec: Spec) -> TuningError | None:
    """What the hub's refusals and breaks mean."""
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, LocalEntryNotFoundError, RepositoryNotFoundError

    causes = [error, error.__cause__, error.__context__]
    if any(isinstance(one, GatedRepoError | RepositoryNotFoundError) for one in causes):
        return TuningError(
            f"The hub does not give {spec.name} to us: it is not there, or gated. Name a secret with a token in "
            "presetOptions.modelAccessSecret."
        )
    if any(isinstance(one, HfHubHTTPError | LocalEntryNotFoundError | ConnectionError) for one in causes):
        return TuningError(f"The hub does not answer for {spec.name}.", ExitCode.PASSES)
    return None

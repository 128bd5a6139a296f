"""Follows a training: tells its progress, saves what it can go on from, and ends it when the loss is no number."""

from __future__ import annotations

import time
from typing import Any, Final

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from services.inference.tuning.checkpoints import Owner
from services.inference.tuning.failure import check_loss
from services.inference.tuning.progress import Progress
from services.inference.tuning.spec import Spec

SAVE_EVERY_S: Final = 300.0
SAVE_EVERY_STEPS: Final = 50
"""With several GPUs, whose processes must agree without asking each other."""


class Watch(TrainerCallback):  # type: ignore[misc]  # transformers' types are not read
    """One training."""

    def __init__(self, spec: Spec, progress: Progress, owner: Owner) -> None:
        self._owner = owner
        self._spec = spec
        self._progress = progress
        self._began = self._saved = time.monotonic()
        self._first_step = 0
        self._tokens: tuple[float, float] | None = None

    def on_train_begin(self, _args: TrainingArguments, state: TrainerState, *_: object, **__: object) -> None:
        """The steps are known now, and those that an earlier run has done."""
        self._began = self._saved = time.monotonic()
        self._first_step = state.global_step
        if state.is_world_process_zero:
            resumed = {"resumedFrom": state.global_step} if state.global_step else {}
            self._progress.tell("training", step=state.global_step, steps=state.max_steps, **resumed)

    def on_step_end(self, _args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: object) -> None:
        """Save by steps where the user says so or there are several GPUs, else by the clock.

        Raises TuningError where another pod has gone on with the run.
        """
        every = self._spec.config.training.save_steps or (SAVE_EVERY_STEPS if self._spec.processes > 1 else None)
        due = state.global_step % every == 0 if every else time.monotonic() - self._saved >= SAVE_EVERY_S
        if due and state.global_step < state.max_steps:
            if state.is_world_process_zero:
                self._owner.check()
            control.should_save = True
            self._saved = time.monotonic()

    def on_log(
        self,
        _args: TrainingArguments,
        state: TrainerState,
        _control: TrainerControl,
        logs: dict[str, Any],
        **__: object,
    ) -> None:
        """Tell the numbers. Raises TuningError where the loss is no number any more."""
        loss = logs.get("loss")
        if loss is None:
            return
        check_loss(float(loss), state.global_step)
        if state.is_world_process_zero:
            self._progress.tell(
                "training", step=state.global_step, loss=round(float(loss), 4), **self._speed(state, logs)
            )

    def _speed(self, state: TrainerState, logs: dict[str, Any]) -> dict[str, object]:
        """What is left, by the mean of the steps of this process; tokens by those since its first log."""
        now, tokens = time.monotonic(), float(logs.get("num_tokens", 0))
        done = state.global_step - self._first_step
        left = (state.max_steps - state.global_step) * (now - self._began) / max(1, done)
        told: dict[str, object] = {"steps": state.max_steps, "secondsLeft": round(left)}
        if self._tokens is None:
            self._tokens = (now, tokens)
        elif now > self._tokens[0]:
            told["tokensPerSecond"] = round((tokens - self._tokens[1]) / (now - self._tokens[0]), 1)
        return told

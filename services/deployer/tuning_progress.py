"""Asks a pod that tunes how far it has come."""

from __future__ import annotations

from typing import Final

from pydantic import ValidationError

from services.contracts.tuning import TuningProgress
from services.deployer.ask import ask_pod
from services.deployer.pods import Pod

PATH: Final = "/progress"


async def read_progress(pod: Pod, *, local: bool) -> TuningProgress | None:
    """What the pod tells; None where it does not answer (yet)."""
    body = await ask_pod(pod, PATH, local=local)
    try:
        return TuningProgress.model_validate_json(body) if body is not None else None
    except ValidationError:
        return None

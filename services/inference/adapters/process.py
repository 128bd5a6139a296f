"""Has an adapter prepared by a process of its own, which is killed when nobody wants the result any more."""

from __future__ import annotations

from typing import Final

from pydantic import ValidationError

from services.inference.adapters.job import Answer, Job, Prepared
from services.inference.adapters.wanted import AdapterError
from services.inference.apart import Said, do_apart

LIMIT_S: Final = 3600.0
"""Seconds for one adapter. A registry or address that breaks off is given up much sooner."""
_MODULE: Final = "services.inference.adapters.prepare"


async def prepare_apart(job: Job) -> Prepared:
    """Prepare an adapter. Raises AdapterError with a sentence for a person."""
    try:
        said = await do_apart(_MODULE, job.model_dump_json().encode(), LIMIT_S)
    except TimeoutError:
        raise AdapterError(f"It took longer than {LIMIT_S / 60:.0f} minutes to fetch.") from None
    return _prepared(said)


def _prepared(said: Said) -> Prepared:
    try:
        found = Answer.model_validate_json(said.text)
    except ValidationError:
        raise AdapterError(f"Its files could not be prepared: the process for it ended {said.end}.") from None
    if found.prepared is None:
        raise AdapterError(found.error or "Its files could not be prepared.")
    return found.prepared

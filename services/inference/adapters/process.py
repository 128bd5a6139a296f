"""Has an adapter prepared by a process of its own, which is killed when nobody wants the result any more."""

from __future__ import annotations

import asyncio
import sys
from asyncio.subprocess import DEVNULL, PIPE
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from services.inference.adapters.job import Answer, Job, Prepared
from services.inference.adapters.wanted import AdapterError

LIMIT_S: Final = 3600.0
"""Seconds for one adapter. A registry or address that breaks off is given up much sooner."""
LONGEST: Final = 2**20
_REPOSITORY: Final = Path(__file__).resolve().parents[3]
_MODULE: Final = "services.inference.adapters.prepare"
# The folder goes last on the path, as for the server itself: the engine's own packages always win.
_CODE: Final = (
    f"import runpy, sys; sys.path.append({str(_REPOSITORY)!r}); runpy.run_module({_MODULE!r}, run_name='__main__')"
)


async def prepare_apart(job: Job) -> Prepared:
    """Prepare an adapter. Raises AdapterError with a sentence for a person."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _CODE, stdin=PIPE, stdout=PIPE, stderr=DEVNULL, limit=LONGEST
    )
    try:
        async with asyncio.timeout(LIMIT_S):
            said, _ = await process.communicate(job.model_dump_json().encode())
    except TimeoutError:
        raise AdapterError(f"It took longer than {LIMIT_S / 60:.0f} minutes to fetch.") from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return _prepared(said, process.returncode)


def _prepared(said: bytes, code: int | None) -> Prepared:
    try:
        found = Answer.model_validate_json(said)
    except ValidationError:
        raise AdapterError(f"Its files could not be prepared: the process for it ended with code {code}.") from None
    if found.prepared is None:
        raise AdapterError(found.error or "Its files could not be prepared.")
    return found.prepared

"""Has one of our modules do a job in a process of its own, which is killed when nobody wants the result any more."""

from __future__ import annotations

import asyncio
import sys
from asyncio.subprocess import DEVNULL, PIPE
from pathlib import Path
from typing import Final, NamedTuple

LONGEST: Final = 2**20
_REPOSITORY: Final = Path(__file__).resolve().parents[2]
# The folder goes last on the path, as for the server itself: the engine's own packages always win.
_CODE: Final = "import runpy, sys; sys.path.append({folder!r}); runpy.run_module({module!r}, run_name='__main__')"


class Said(NamedTuple):
    """What the process wrote, and how it ended."""

    text: bytes
    code: int | None


async def do_apart(module: str, job: bytes, limit_s: float) -> Said:
    """Run the module as a program, with the job on its standard input. Raises TimeoutError."""
    code = _CODE.format(folder=str(_REPOSITORY), module=module)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, stdin=PIPE, stdout=PIPE, stderr=DEVNULL, limit=LONGEST
    )
    try:
        async with asyncio.timeout(limit_s):
            said, _ = await process.communicate(job)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return Said(said, process.returncode)

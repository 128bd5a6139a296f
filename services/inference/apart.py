"""Has one of our modules do a job in a process of its own, which is killed when nobody wants the result any more."""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
from asyncio.subprocess import PIPE
from pathlib import Path
from typing import IO, Final, NamedTuple

LONGEST: Final = 2**20
LAST_LINES: Final = 5
LAST_CHARACTERS: Final = 500
_REPOSITORY: Final = Path(__file__).resolve().parents[2]
# The folder goes last on the path, as for the server itself: the engine's own packages always win.
_CODE: Final = "import runpy, sys; sys.path.append({folder!r}); runpy.run_module({module!r}, run_name='__main__')"


class Said(NamedTuple):
    """What the process wrote, how it ended (as `subprocess` tells it), and its last lines for people."""

    text: bytes
    code: int | None
    last: str = ""

    @property
    def end(self) -> str:
        """How it ended, in words: "with code 1: ..."."""
        how = f"by signal {-self.code}" if self.code and self.code < 0 else f"with code {self.code}"
        return f"{how}: {self.last}" if self.last else f"{how}, and left no word"


async def do_apart(module: str, job: bytes, limit_s: float) -> Said:
    """Run the module as a program, with the job on its standard input. Raises TimeoutError."""
    code = _CODE.format(folder=str(_REPOSITORY), module=module)
    with tempfile.TemporaryFile() as errors:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", code, stdin=PIPE, stdout=PIPE, stderr=errors, limit=LONGEST
        )
        try:
            async with asyncio.timeout(limit_s):
                said, _ = await process.communicate(job)
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        return Said(said, process.returncode, last_lines(errors) if process.returncode else "")


def last_lines(file: IO[bytes]) -> str:
    """The end of what a process has written there, in one line."""
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - 8 * LAST_CHARACTERS))
    lines = [" ".join(line.split()) for line in file.read().decode(errors="replace").splitlines()]
    return " ".join([line for line in lines if line][-LAST_LINES:])[-LAST_CHARACTERS:]

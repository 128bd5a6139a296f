"""Runs a setup command (pip, the model conversion) and passes its output on line by line."""

import subprocess
import threading
from collections import deque
from collections.abc import Sequence

from deploy.local.engine.cache import EngineSetupError, Progress

LAST_LINES = 12
"""How much of a failed command's output is repeated in the error."""


def run_command(command: Sequence[str], on_line: Progress, limit_s: float) -> None:
    """Run `command` and hand every output line to `on_line`.

    Raises EngineSetupError with the command's last lines if it fails or runs longer than `limit_s` seconds.
    """
    tail: deque[str] = deque(maxlen=LAST_LINES)
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        timer = threading.Timer(limit_s, process.kill)
        timer.start()
        try:
            for line in process.stdout or ():
                tail.append(line.rstrip())
                on_line(line.rstrip())
        except BaseException:
            process.kill()
            raise
        finally:
            timed_out = not timer.is_alive()
            timer.cancel()
    if process.returncode != 0:
        why = f"took longer than {limit_s:.0f} s" if timed_out else f"ended with code {process.returncode}"
        raise EngineSetupError(f"{' '.join(command[:6])} {why}:\n" + "\n".join(tail))

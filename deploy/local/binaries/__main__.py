"""`python -m deploy.local.binaries`: gets the control plane's programs and prints where they are."""

import asyncio
import signal
import sys

from deploy.local.binaries.ensure import ensure_control_plane
from deploy.local.binaries.model import Binaries, BinariesError


def main() -> int:
    """Print progress to stderr and one path a line to stdout; 1 when the programs cannot be had."""
    try:
        binaries = asyncio.run(_ensure())
    except BinariesError as error:
        _say(str(error))
        return 1
    except (KeyboardInterrupt, asyncio.CancelledError):
        _say("stopped; start again to go on from here")
        return 130
    sys.stdout.writelines(f"{path}\n" for path in binaries.model_dump().values())
    return 0


async def _ensure() -> Binaries:
    """Get the programs; SIGTERM cancels, as Ctrl-C does, so that a running compiler is ended too."""
    task = asyncio.ensure_future(ensure_control_plane(_say))
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    return await task


def _say(line: str) -> None:
    sys.stderr.write(f"kubernetes: {line}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main())

"""`kaitobus-inference FLAGS`: vLLM's OpenAI server with our routes; FLAGS are those of `vllm serve`."""

import logging
import multiprocessing
import os
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from services.inference.compiled import HOME_ENV, drop_broken
from services.inference.front import answering
from services.inference.garbage import look_as_usual, look_seldom
from services.inference.heard import STEPS_FILE_ENV, read_steps
from services.inference.local_model import MODEL_DIR_ENV, use_local_model
from services.inference.logs import configure_logs
from services.inference.phases import Phase, Phases
from services.inference.trace import send_start

CHILD_GRACE_S = 5.0
"""How long the engine's processes may take to end when the start is given up; then they are killed."""

look_seldom()  # here, and not in `main`, since the engine's processes import this file and no more of ours


def main() -> int:
    """Serve until told to stop, and return the exit code: 0 for that, 1 for a failure.

    Signals are minded from the first line on: process 1 of a container gets only those it handles.
    """
    phases = Phases()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _give_up)
    log = configure_logs(os.environ.get("TRACEPARENT"))
    try:
        _run(sys.argv[1:], phases, log)
    except Exception as error:
        log.critical("the engine ended: %s", error, exc_info=True)
        send_start(phases, log, str(error))
        return 1
    return 0


def _run(argv: Sequence[str], phases: Phases, log: logging.Logger) -> None:
    flags, local = use_local_model(argv, os.environ.get(MODEL_DIR_ENV))
    _set_defaults(local)
    drop_broken(os.environ.get(HOME_ENV))
    with _steps_file() as steps, answering(flags, phases, lambda: read_steps(steps)) as front:

        def ready() -> None:
            phases.inner = [Phase(step.step, step.start_ns, step.end_ns) for step in read_steps(steps) if step.end_ns]
            text = "first token after %.1f s"
            log.info(text, phases.whole().seconds, extra={"fields": {"seconds": phases.times()}})
            threading.Thread(target=send_start, args=(phases, log), daemon=True).start()

        # Imported here, since it takes seconds: the environment must be set before, and the time is told.
        with phases.phase("import"):
            import uvloop

            from services.inference.server import parse_args, serve
        look_as_usual()
        uvloop.run(serve(parse_args(flags), phases, front, ready))


@contextmanager
def _steps_file() -> Iterator[Path]:
    """Give the engine's processes a file to tell their steps in."""
    with tempfile.NamedTemporaryFile(prefix="kaitobus-steps-") as file:
        os.environ[STEPS_FILE_ENV] = file.name
        yield Path(file.name)


def _give_up(number: int, _frame: object) -> None:
    """End a start that is under way, with the exit code 128 + signal; a server that runs has its own handler.

    No exception, since pyzmq's poll, in which vLLM waits for its engine, drops those of signal handlers.
    """
    children = multiprocessing.active_children()
    for child in children:
        child.terminate()
    deadline = time.monotonic() + CHILD_GRACE_S
    for child in children:
        child.join(max(0.0, deadline - time.monotonic()))
        child.kill()
    os._exit(128 + number)


def _set_defaults(local: bool) -> None:
    """Set what vLLM reads from the environment, where the pod has not set it."""
    # What vLLM's own command line chooses: a fork would not survive an initialised accelerator.
    os.environ.setdefault("VLLM_WORKER_MULTIPROC_METHOD", "spawn")
    # A cluster tells nobody what it runs unless its owner wants to.
    os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")
    if local:
        os.environ.setdefault("HF_HUB_OFFLINE", "1")


if __name__ == "__main__":
    sys.exit(main())

"""`kaitobus-transformers FLAGS`: answers from the first second, loads the model, makes one token, then serves."""

import asyncio
import logging
import os
import signal
import sys
import threading
from collections.abc import Sequence

from services.inference.front import answering
from services.inference.local_model import MODEL_DIR_ENV, use_local_model
from services.inference.logs import configure_logs
from services.inference.phases import Phases
from services.inference.progress import ENGINE, FIRST_TOKEN
from services.inference.trace import send_start
from services.inference.transformers_runtime.options import parse_options


def main() -> int:
    """Serve until told to stop, and return the exit code: 0 for that, 1 for a failure."""
    phases = Phases()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda got, _frame: os._exit(128 + got))  # a start is given up at once
    log = configure_logs(os.environ.get("TRACEPARENT"))
    try:
        _run(sys.argv[1:], phases, log)
    except Exception as error:
        log.critical("the transformers runtime ended: %s", error, exc_info=True)
        send_start(phases, log, str(error))
        return 1
    return 0


def _run(argv: Sequence[str], phases: Phases, log: logging.Logger) -> None:
    given, local = use_local_model(argv, os.environ.get(MODEL_DIR_ENV))
    options = parse_options(given, os.environ)
    if local:
        os.environ.setdefault("HF_HUB_OFFLINE", "1")

    def ready() -> None:
        times = {phase.name: phase.seconds for phase in phases.done}
        log.info("first token after %.1f s", phases.whole().seconds, extra={"fields": {"seconds": times}})
        threading.Thread(target=send_start, args=(phases, log), daemon=True).start()

    with answering(given, phases) as front:
        # Imported here, since it takes seconds: the environment must be set before, and the time is told.
        with phases.phase("import"):
            from services.inference.transformers_runtime.serve import serve, start
        with phases.phase(ENGINE):
            served = start(options)
        with phases.phase(FIRST_TOKEN):
            served.loaded.first_token()
        ready()
        asyncio.run(serve(served, options, front))


if __name__ == "__main__":
    sys.exit(main())

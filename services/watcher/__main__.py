"""Run with `python -m services.watcher`."""

import gc

gc.disable()  # all that is loaded stays: to look for garbage meanwhile is a quarter of the start. `main` enables it

from services.watcher.app import main  # noqa: E402

main()

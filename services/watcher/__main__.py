"""Run with `python -m services.watcher`."""

from services.watcher.app import main

main()

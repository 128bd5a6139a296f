"""Run with `python -m services.deployer`."""

import gc

gc.disable()  # all that is loaded stays: to look for garbage meanwhile is a quarter of the start. `main` enables it

from services.deployer.app import main  # noqa: E402

main()

"""Run with `python -m services.provisioner`; KAITOBUS_PROVIDER says which provider is served."""

import gc

gc.disable()  # all that is loaded stays: to look for garbage meanwhile is a quarter of the start. `main` enables it

from services.provisioner.app import main  # noqa: E402

main()

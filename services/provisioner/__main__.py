"""Run with `python -m services.provisioner`; KAITOBUS_PROVIDER says which provider is served."""

from services.provisioner.app import main

main()

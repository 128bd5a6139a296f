"""Run with `python -m services.deployer`."""

from services.deployer.app import main

main()

"""`kaitobus down`: ends what `up` started."""

from __future__ import annotations


def down() -> None:
    """End what `up` started on this machine, and remove its state."""
    from deploy.local.down import stop_platform
    from deploy.local.process import ProcessError
    from deploy.local.state import state_folder
    from services.cli.errors import CliError
    from services.cli.view.console import make_console
    from services.cli.view.steps import ConsoleSteps

    try:
        stop_platform(state_folder(), ConsoleSteps(make_console()))
    except (ProcessError, OSError) as error:
        raise CliError(f"Not all could be ended: {error}. Run `make down` again.") from error

"""`kaitobus up`: everything on this machine, and a first answer of a model."""

from __future__ import annotations

from typing import Annotated

import typer

GOES_ON = "What is started goes on: `make up` picks it up, `make down` ends it."


def up(
    example: Annotated[bool, typer.Option(help="Apply examples/01-smollm2.yaml and ask its model a question.")] = True,
) -> None:
    """Start everything on this machine; run again, it picks up what is there."""
    from deploy.local.state import StateError, state_folder
    from deploy.local.up import FAILURES, start_platform
    from services.cli.errors import CliError
    from services.cli.example import run_example, say_how_to_go_on
    from services.cli.view.console import make_console
    from services.cli.view.steps import ConsoleSteps

    console = make_console()
    try:
        state = start_platform(state_folder(), ConsoleSteps(console))
        if example:
            run_example(state, console)
    except FAILURES as error:
        hint = "" if isinstance(error, StateError) else f"\n{GOES_ON}"
        raise CliError(f"{error}{hint}") from error
    except KeyboardInterrupt:
        typer.echo(f"\nInterrupted. {GOES_ON}", err=True)
        raise
    say_how_to_go_on(state, console, example=example)

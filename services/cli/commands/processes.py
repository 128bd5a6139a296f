"""`kaitobus ps`, `stop` and `start`: the processes on this machine, and how the others do without one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer

from services.cli.options import Output, OutputOption

Names = Annotated[list[str], typer.Argument(metavar="NAME...", help="As `kaitobus ps` shows.", show_default=False)]


def ps(output: OutputOption = Output.TEXT) -> None:
    """Show the processes that `up` started on this machine."""
    from deploy.local.control import look
    from deploy.local.state import state_folder
    from services.cli.view.processes import print_processes, show_processes

    with _plain_errors():
        found = look(state_folder())
    print_processes(found) if output is Output.JSON else show_processes(found)


def stop(names: Names) -> None:
    """Stop processes until they are started again. One that is killed otherwise comes back by itself."""
    from deploy.local.control import pause
    from deploy.local.state import state_folder

    with _plain_errors():
        pause(state_folder(), names)
    typer.echo(f"Stopped: {', '.join(names)}.")


def start(names: Names) -> None:
    """Start processes that were stopped."""
    from deploy.local.control import resume
    from deploy.local.state import state_folder

    with _plain_errors():
        resume(state_folder(), names)
    typer.echo(f"Starting: {', '.join(names)}.")


@contextmanager
def _plain_errors() -> Iterator[None]:
    from deploy.local.process import ProcessError
    from deploy.local.state import StateError
    from services.cli.errors import CliError

    try:
        yield
    except (StateError, ProcessError) as error:
        raise CliError(str(error)) from error

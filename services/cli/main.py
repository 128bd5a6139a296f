"""The entry point: all commands under one name, and errors as plain sentences."""

from __future__ import annotations

import sys

import typer

from services.cli.commands.chat import chat
from services.cli.commands.conformance import conformance
from services.cli.commands.dlq import dlq
from services.cli.commands.down import down
from services.cli.commands.get import get
from services.cli.commands.pack import pack
from services.cli.commands.plan import plan
from services.cli.commands.preset import preset
from services.cli.commands.processes import ps, start, stop
from services.cli.commands.size import size
from services.cli.commands.trace import trace
from services.cli.commands.up import up
from services.cli.commands.why import why
from services.cli.errors import CliError

app = typer.Typer(
    name="kaitobus",
    help="Run open models on Kubernetes: a Workspace becomes nodes and a server that answers.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for command in (up, down, plan, size, pack, get, why, trace, chat, ps, stop, start, conformance):
    app.command()(command)
app.add_typer(dlq, name="dlq")
app.add_typer(preset, name="preset")

INTERRUPTED = 130
"""The exit code of a program that Ctrl-C ended: 128 + SIGINT."""


def main() -> None:
    """Run the command of `sys.argv`; what a person must know goes to standard error, with exit code 1."""
    try:
        app()
    except CliError as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except BrokenPipeError:
        sys.stderr.close()  # the reader (`| head`) has seen enough; Python would complain while it ends


if __name__ == "__main__":
    main()

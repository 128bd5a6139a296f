"""`kaitobus conformance`: whether a provisioner keeps to the contract."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

if TYPE_CHECKING:
    from services.cli.conformance.faults import Faults
    from services.cli.conformance.outcome import Result
    from services.cli.conformance.run import Call

BREACH = 1
BAD_CALL = 2

Provider = Annotated[str, typer.Option("--provider", "-p", help="Name of the provider.", show_default=False)]
Nats = Annotated[
    str | None,
    typer.Option("--nats", envvar="KAITOBUS_NATS_URL", help="NATS server; a token stands in the URL: nats://T@HOST."),
]
Credentials = Annotated[
    Path | None, typer.Option(envvar="KAITOBUS_NATS_CREDENTIALS", help="NATS credentials file.", show_default=False)
]
Size = Annotated[
    str | None, typer.Option("--instance-type", help="Machine size to demand.", show_default="the cheapest offered")
]
Nodes = Annotated[int, typer.Option(min=1, help="The most nodes to demand at a time.")]
Patience = Annotated[float, typer.Option(min=1, help="Seconds that nodes may take to come or to go.")]
FaultsFile = Annotated[
    Path | None, typer.Option("--faults", help="YAML: how to bring each fault about.", show_default=False)
]
RestartCommand = Annotated[
    str | None, typer.Option(help="Shell command that restarts the provisioner.", show_default="ask on a terminal")
]
Only = Annotated[list[str] | None, typer.Option("--only", metavar="SCENARIO", help="Play only this; may be repeated.")]
Json = Annotated[bool, typer.Option("--json", help="Print the results as JSON.")]


def conformance(
    provider: Provider,
    nats: Nats = None,
    credentials: Credentials = None,
    instance_type: Size = None,
    nodes: Nodes = 2,
    patience: Patience = 1200,
    faults: FaultsFile = None,
    restart_command: RestartCommand = None,
    only: Only = None,
    json: Json = False,
) -> None:
    """Play Kaito Bus towards a provisioner, and tell where it does not keep to docs/contract.

    Needs NATS and the provisioner, nothing else. It demands real nodes: what they cost is yours to pay.
    Exit code 0: all that was asked is kept; 1: a breach; 2: it could not be asked.
    """
    from services.cli.conformance.outcome import Outcome
    from services.cli.conformance.run import Call
    from services.cli.connect import run
    from services.cli.view.conformance import print_results

    restart = restart_command or (_ask if sys.stdin.isatty() and not json else None)
    known, names = _faults(provider, faults), _scenarios(only or [])
    call = Call(provider, nats, credentials, instance_type, nodes, patience, known, restart, names)
    results = run(_run(call, json=json))
    if json:
        print_results(results)
    if any(result.outcome is Outcome.FAILED for result in results):
        raise typer.Exit(BREACH)


async def _run(call: Call, *, json: bool) -> list[Result]:
    """Show each result as it comes, unless they are for a program."""
    from services.cli.conformance.run import results_of
    from services.cli.conformance.runner import NotThere
    from services.cli.errors import CliError
    from services.cli.view.conformance import ResultsView

    view = None if json else ResultsView()
    found = []
    try:
        async for result in results_of(call):
            found.append(result)
            if view:
                view.show(result)
    except (CliError, NotThere) as error:
        _bad_call(str(error))
    if view:
        view.sum_up(found)
    return found


def _faults(provider: str, path: Path | None) -> Faults:
    from services.cli.conformance.faults import BUILT_IN, BadFaults, read_faults

    try:
        return {**BUILT_IN.get(provider, {}), **(read_faults(path) if path else {})}
    except BadFaults as error:
        _bad_call(str(error))


def _scenarios(names: list[str]) -> frozenset[str]:
    """The scenarios to play: those that are named, or all."""
    from services.cli.conformance.scenarios import SCENARIOS

    known = [scenario.name for scenario in SCENARIOS]
    if unknown := [name for name in names if name not in known]:
        _bad_call(f"There is no scenario {unknown[0]!r}. There are: {', '.join(known)}.")
    return frozenset(names or known)


def _bad_call(text: str) -> NoReturn:
    typer.echo(text, err=True)
    raise typer.Exit(BAD_CALL)


def _ask() -> None:
    """Have the person at the terminal do it."""
    typer.prompt("Restart the provisioner now, then press Enter", default="", show_default=False)

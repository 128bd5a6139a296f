"""`kaitobus plan`: what a Workspace would get, what that costs and what it will serve. Nothing is asked or bought."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from services.cli.options import Output, OutputOption

if TYPE_CHECKING:
    from services.cli.plans import Planned
    from services.contracts.messages import WorkspaceState
    from services.scheduler.catalog import Catalogue
    from services.scheduler.facts import ModelFacts
    from services.scheduler.refusal import Refusal

WRONG_INPUT, NOTHING_FITS = 2, 3
"""Exit codes: the file, or a manifest in it, must be changed; no offer fits."""


def plan(
    file: Annotated[str, typer.Option("--filename", "-f", metavar="FILE", help="Manifests; - for standard input.")],
    cloud: Annotated[
        list[str] | None,
        typer.Option("--cloud", metavar="NAME", help="azure, aws or arc; repeat it for more."),
    ] = None,
    offers: Annotated[
        Path | None, typer.Option("--offers", metavar="FILE", help="Offers as a provisioner publishes them, instead.")
    ] = None,
    explain: Annotated[
        bool, typer.Option("--explain", help="Also why the engine gets each flag and environment variable.")
    ] = False,
    output: OutputOption = Output.TEXT,
) -> None:
    """Show the sizes on which each Workspace of a file fits, which is chosen, and why. No cluster is needed.

    Nothing is asked of any network but the hub of HF_ENDPOINT, for a model that is not in the catalogue.
    Exit code 3 when none fits a Workspace, 2 for bad input.
    """
    from services.cli.plans import to_json
    from services.cli.view.console import print_json
    from services.cli.view.plan import show_plan

    answers = _answers(file, cloud or (), offers)
    if output is Output.JSON:
        print_json([to_json(answer) for answer in answers])
    else:
        for answer in answers:
            show_plan(answer, explain=explain)
    if any(answer.wrong for answer in answers):
        raise typer.Exit(WRONG_INPUT)
    if any(answer.plan is None for answer in answers):
        raise typer.Exit(NOTHING_FITS)


def _answers(file: str, clouds: Sequence[str], offers: Path | None) -> list[Planned]:
    """One for each Workspace. Ends the command where a file cannot be read."""
    from services.cli.manifests import BadFile, read_manifests
    from services.cli.offered import offers_of_clouds, offers_of_file
    from services.cli.plans import plan_manifest
    from services.scheduler.catalog import load_catalogue
    from services.scheduler.known_skus import load_known_skus

    try:
        manifests = read_manifests(file)
        offered = offers_of_file(offers) if offers else offers_of_clouds(clouds)
    except BadFile as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(WRONG_INPUT) from error
    catalogue, known = load_catalogue(), load_known_skus()
    return [plan_manifest(m, offered, catalogue, known, _from_hub(m.state, catalogue)) for m in manifests]


def _from_hub(state: WorkspaceState | None, catalogue: Catalogue) -> ModelFacts | Refusal | None:
    """What the hub tells of a model that the catalogue does not have; None where it has."""
    from services.cli.connect import run
    from services.cli.errors import CliError
    from services.cli.hub import hub_model
    from services.contracts.conditions import Reason
    from services.scheduler.hub.ask import ask_for, hinted
    from services.scheduler.refusal import Refusal

    ask = ask_for(state, None, catalogue) if state else None
    if ask is None:
        return None
    try:
        return run(hub_model(ask.model, any_runtime=True)).facts
    except CliError as error:
        return hinted(Refusal(reason=Reason.UNKNOWN_PRESET, message=str(error)), catalogue, ask.model)

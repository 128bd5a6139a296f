"""`kaitobus preset`: the models that can be named without asking a hub, and how to add one."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Annotated

import typer

from services.cli.errors import CliError

preset = typer.Typer(help="Models of the catalogue: list and show them, or add one from the hub.", no_args_is_help=True)

Model = Annotated[str, typer.Argument(metavar="MODEL", help="An id or a short name.", show_default=False)]
HubModel = Annotated[str, typer.Argument(metavar="ORG/MODEL", help="An id on the hub.", show_default=False)]
Revision = Annotated[str | None, typer.Option(help="A commit, tag or branch; left out, the newest.")]
To = Annotated[str | None, typer.Option("--file", "-f", help="The file to add it to; - writes it to standard output.")]


@preset.command("list")
def list_presets() -> None:
    """List the models by id, with the size of their weights and their context."""
    from services.scheduler.catalog import load_catalogue

    for model in load_catalogue().models:
        typer.echo(f"{model.id:52} {model.weights_gib:8.2f} GiB {model.context:8} tokens  {model.architecture}")


@preset.command()
def show(name: Model) -> None:
    """Show all that is known of one model, as it stands in the catalogue."""
    from services.cli.preset_file import entry
    from services.scheduler.catalog import load_catalogue
    from services.scheduler.facts import ModelFacts

    found = load_catalogue().resolve(name)
    if not isinstance(found, ModelFacts):
        raise CliError(found.message)
    typer.echo("\n".join(entry(found)))


@preset.command()
def add(model: HubModel, revision: Revision = None, file: To = None) -> None:
    """Read a model's facts from the hub and add it to a file of presets.

    The hub is that of HF_ENDPOINT; HF_TOKEN opens gated models.
    """
    from services.cli.connect import run
    from services.cli.hub import hub_model
    from services.cli.preset_file import add_entry, entry

    facts, note = run(hub_model(model, revision))
    if file == "-":
        typer.echo("\n".join([f"# {note}", *entry(facts)]))
        return
    path = Path(file) if file else Path(str(files("presets").joinpath("models.yaml")))
    _write(path, add_entry(_text(path), facts, note))
    typer.echo(f"{facts.id} at commit {facts.revision} is in {path}: {facts.weights_gib:g} GiB of weights.")


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CliError(f"{path} cannot be read: {error}") from error


def _write(path: Path, text: str) -> None:
    """Write beside the file and rename, so that it is never half there."""
    new = path.with_name(f".{path.name}.new")
    try:
        new.write_text(text, encoding="utf-8")
        new.replace(path)
    except OSError as error:
        raise CliError(f"{path} cannot be written: {error}") from error

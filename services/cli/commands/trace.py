"""`kaitobus trace`: where the time went, out of the messages that HISTORY keeps. No tracing backend is needed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from services.cli.options import Namespace, Output, OutputOption, Workspace

if TYPE_CHECKING:
    from services.cli.history import Entry, Life


def trace(
    workspace: Workspace,
    namespace: Namespace = "default",
    generation: Annotated[
        int | None, typer.Option("--generation", "-g", help="An older generation.", show_default="the newest")
    ] = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Draw the waterfall of a Workspace, from kubectl apply until it is ready."""
    from services.cli.connect import run
    from services.cli.history import lives
    from services.cli.view.trace import print_trace, show_trace
    from services.cli.waterfall import spans

    entries = run(_read(namespace, workspace))
    life = _choose(lives(entries), f"{namespace}/{workspace}", generation)
    found = spans(entries, life)
    if output is Output.JSON:
        print_trace(life, found)
    else:
        show_trace(life, found)


async def _read(namespace: str, name: str) -> list[Entry]:
    from services.cli.connect import jetstream
    from services.cli.history import read_entries, subject_filters
    from services.cli.streams import read_stream
    from services.contracts.subjects import Stream

    async with jetstream() as js:
        stored = read_stream(js, Stream.HISTORY, subject_filters(namespace, name))
        return read_entries([item.message async for item in stored])


def _choose(found: list[Life], name: str, generation: int | None) -> Life:
    """The newest generation, or the newest Workspace's generation of that number."""
    from services.cli.errors import CliError

    if not found:
        raise CliError(f"HISTORY has no message about {name}. It keeps messages for 7 days.")
    wanted = [life for life in found if generation in (None, life.generation)]
    if not wanted:
        there = ", ".join(str(life.generation) for life in found if life.uid == found[-1].uid)
        raise CliError(f"HISTORY has no generation {generation} of {name}. It has: {there}.")
    return wanted[-1]

"""`kaitobus dlq`: the messages that a service could not read or handle."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from services.cli.options import Output, OutputOption

if TYPE_CHECKING:
    from nats.js import JetStreamContext

    from services.cli.letters import Letter

dlq = typer.Typer(help="Messages that a service put aside because it could not read or handle them.")

Sequence = Annotated[int, typer.Argument(metavar="SEQ", help="The number that `dlq list` shows.", show_default=False)]


@dlq.callback(invoke_without_command=True)
def default(context: typer.Context) -> None:
    """List them where no other command is named."""
    if context.invoked_subcommand is None:
        list_letters()


@dlq.command("list")
def list_letters(output: OutputOption = Output.TEXT) -> None:
    """List what was put aside, oldest first."""
    from services.cli.connect import run
    from services.cli.view.letters import print_letters, show_letters

    found = run(_read_all())
    print_letters(found) if output is Output.JSON else show_letters(found)


@dlq.command()
def show(sequence: Sequence, output: OutputOption = Output.TEXT) -> None:
    """Show one message: its error, headers and body."""
    from services.cli.connect import run
    from services.cli.view.letters import print_letters, show_letter

    found = run(_read_one(sequence))
    print_letters([found]) if output is Output.JSON else show_letter(found)


@dlq.command()
def retry(sequence: Sequence) -> None:
    """Publish a message again where it came from, and drop it here."""
    from services.cli.connect import run

    typer.echo(f"{run(_retry(sequence))}: published again, {sequence} is dropped.")


@dlq.command()
def drop(sequence: Sequence) -> None:
    """Drop a message. Nothing is lost by it: the services look at the cluster again and again."""
    from services.cli.connect import run

    run(_drop(sequence))
    typer.echo(f"{sequence} is dropped.")


async def _read_all() -> list[Letter]:
    from services.cli.connect import jetstream
    from services.cli.letters import read_letter
    from services.cli.streams import read_stream
    from services.contracts.subjects import PREFIX, Stream

    async with jetstream() as js:
        return [read_letter(stored) async for stored in read_stream(js, Stream.DLQ, [f"{PREFIX}.dlq.>"])]


async def _read_one(sequence: int) -> Letter:
    from services.cli.connect import jetstream

    async with jetstream() as js:
        return await _get(js, sequence)


async def _retry(sequence: int) -> str:
    from services.cli.connect import jetstream
    from services.cli.retry import publish_again
    from services.contracts.subjects import Stream

    async with jetstream() as js:
        letter = await _get(js, sequence)
        await publish_again(js, letter)
        await js.delete_msg(Stream.DLQ, sequence)
        return letter.subject


async def _drop(sequence: int) -> None:
    from services.cli.connect import jetstream
    from services.contracts.subjects import Stream

    async with jetstream() as js:
        await _get(js, sequence)
        await js.delete_msg(Stream.DLQ, sequence)


async def _get(js: JetStreamContext, sequence: int) -> Letter:
    from services.cli.retry import get_letter

    return await get_letter(js, sequence)

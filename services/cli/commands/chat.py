"""`kaitobus chat`: talk to a Workspace's model."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from services.cli.options import Namespace, Workspace

if TYPE_CHECKING:
    from services.cli.completions import Turn


def chat(
    workspace: Workspace,
    prompt: Annotated[str | None, typer.Argument(help="What to ask.", show_default="a conversation")] = None,
    namespace: Namespace = "default",
    adapter: Annotated[
        str | None, typer.Option("--adapter", "-a", help="Adapter that answers.", show_default="the model alone")
    ] = None,
) -> None:
    """Ask a Workspace's model, or one of its adapters; without a prompt, talk with it until Ctrl-D."""
    asked = _Asked(namespace, workspace, adapter)
    if prompt is None and sys.stdin.isatty():
        _converse(asked)
    else:
        _ask(asked, [_user(prompt or _piped_prompt())])


class _Asked(NamedTuple):
    """Who is asked."""

    namespace: str
    workspace: str
    adapter: str | None

    @property
    def name(self) -> str:
        return f"{self.adapter} of {self.workspace}" if self.adapter else self.workspace


def _piped_prompt() -> str:
    from services.cli.errors import CliError

    if text := sys.stdin.read().strip():
        return text
    raise CliError('There is nothing to ask. Give a prompt: kaitobus chat WORKSPACE "What is the capital of France?"')


def _converse(asked: _Asked) -> None:
    import readline  # noqa: F401 - gives input() its line editing

    turns: list[Turn] = []
    typer.echo(f"Talking to {asked.name}. Ctrl-D ends it.", err=True)
    while True:
        try:
            text = input("> ").strip()
        except EOFError:
            typer.echo("")
            return
        if text:
            turns.append(_user(text))
            turns.append({"role": "assistant", "content": _ask(asked, turns)})


def _user(text: str) -> Turn:
    return {"role": "user", "content": text}


def _ask(asked: _Asked, turns: list[Turn]) -> str:
    from services.cli.connect import run

    said = run(_stream(asked, turns))
    typer.echo("")
    return said


async def _stream(asked: _Asked, turns: list[Turn]) -> str:
    """Write the answer as it comes; returns it whole."""
    from services.cli.completions import answer
    from services.cli.connect import cluster
    from services.cli.lookup import find_workspace
    from services.cli.way import find_way

    said = []
    async with cluster() as found:
        way = await find_way(found, await find_workspace(found, asked.namespace, asked.workspace))
        async for piece in answer(way, turns, adapter=asked.adapter):
            said.append(piece)
            sys.stdout.write(piece)
            sys.stdout.flush()
    return "".join(said)

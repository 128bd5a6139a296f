"""Shows the table of `kaitobus get`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from rich.console import Console
from rich.text import Text

from services.cli.rows import headers, row
from services.cli.view.console import STATE_STYLES, make_console
from services.cli.view.text import columns
from services.cli.workspaces import WorkspaceView

STYLES = {**STATE_STYLES, "True": "green", "False": "yellow", "Unknown": "dim", "<none>": "dim"}
"""Colours of the words in a table."""


def show_workspaces(workspaces: Sequence[WorkspaceView], *, wide: bool, namespace: str | None) -> None:
    """Print the table; `namespace` None shows all of them with their namespaces.

    On a terminal the message of a failing step stands below its row, where there is room for it.
    """
    console = make_console()
    if not workspaces:
        console.print(f"No Workspaces in namespace {namespace}." if namespace else "No Workspaces.")
        return
    titles = headers(wide=wide, namespaces=namespace is None)
    now = datetime.now(UTC)
    rows = [row(workspace, now, wide=wide, namespaces=namespace is None) for workspace in workspaces]
    if not console.is_terminal:
        _print(console, columns(titles, rows))
        return
    for line, cells in zip(columns(titles[:-1], [cells[:-1] for cells in rows]), [[], *rows], strict=True):
        console.print(_coloured(line))
        if cells and cells[-1]:
            console.print(Text(f"  └ {cells[-1]}", style="yellow"), soft_wrap=False)


def _coloured(line: str) -> Text:
    """A row of the table with the words that matter coloured."""
    text = Text(line)
    for word, style in STYLES.items():
        text.highlight_regex(rf"(?<!\S){word}(?!\S)", style)
    return text


def _print(console: Console, lines: Sequence[str]) -> None:
    for line in lines:
        console.print(line, markup=False)

"""Shows the table of `kaitobus get`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from rich.console import Console
from rich.table import Table
from rich.text import Text

from services.cli.rows import headers, row
from services.cli.view.console import STATE_STYLES, make_console
from services.cli.view.text import columns
from services.cli.workspaces import WorkspaceView


def show_workspaces(workspaces: Sequence[WorkspaceView], *, wide: bool, namespace: str | None) -> None:
    """Print the table; `namespace` None shows all of them with their namespaces."""
    console = make_console()
    if not workspaces:
        console.print(f"No Workspaces in namespace {namespace}." if namespace else "No Workspaces.")
        return
    titles = headers(wide=wide, namespaces=namespace is None)
    now = datetime.now(UTC)
    rows = [row(workspace, now, wide=wide, namespaces=namespace is None) for workspace in workspaces]
    if console.is_terminal:
        console.print(_table(titles, rows), soft_wrap=False)
    else:
        _print_plain(console, columns(titles, rows))


def _table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for title in titles:
        table.add_column(title, overflow="fold", no_wrap=title not in ("MESSAGE", "INSTANCE", "ENDPOINT"))
    for cells in rows:
        table.add_row(*(Text(cell, style=_style(cell)) for cell in cells))
    return table


def _style(cell: str) -> str:
    if cell in ("True", "False"):
        return "green" if cell == "True" else "yellow"
    return STATE_STYLES.get(cell.split(" ", 1)[0], "dim" if cell == "<none>" else "")


def _print_plain(console: Console, lines: Sequence[str]) -> None:
    for line in lines:
        console.print(line, markup=False)

"""Shows the phases of one Workspace while they go on: live on a terminal, a line for each change in a pipe."""

from __future__ import annotations

from datetime import UTC, datetime
from types import TracebackType
from typing import Self

from rich.console import Console, Group
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from services.cli.rows import problem
from services.cli.view.text import seconds
from services.cli.workspaces import WorkspaceView
from services.contracts.messages import Phase


class PhasesView:
    """Shows what a Workspace waits for, until the context is left."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live = Live(console=console, refresh_per_second=8) if console.is_terminal else None
        self._said: set[str] = set()

    def __enter__(self) -> Self:
        if self._live:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live:
            self._live.stop()

    def show(self, workspace: WorkspaceView) -> None:
        """Show how it stands now."""
        if self._live:
            self._live.update(_picture(workspace, datetime.now(UTC)))
            return
        for line in _news(workspace):
            if line not in self._said:
                self._said.add(line)
                self._console.print(line, markup=False)


def _news(workspace: WorkspaceView) -> list[str]:
    """What there is to say, each in a line that stays the same while nothing changes."""
    lines = []
    for phase in _ordered(workspace):
        lines.append(f"  … {phase.name}")
        if phase.finished_at:
            lines.append(f"  ✓ {phase.name} {_took(phase, phase.finished_at)}")
    waits = problem(workspace)
    return [*lines, f"    {waits}"] if waits else lines


def _ordered(workspace: WorkspaceView) -> list[Phase]:
    """The phases by start; of those that began in the same second, the one that ended first."""
    return sorted(
        workspace.status.phases, key=lambda p: (p.started_at, p.finished_at or datetime.max.replace(tzinfo=UTC))
    )


def _picture(workspace: WorkspaceView, now: datetime) -> Group:
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 1, 0, 0))
    for phase in _ordered(workspace):
        mark = Text("✓", style="green") if phase.finished_at else Spinner("dots")
        took = _took(phase, phase.finished_at or now)
        table.add_row("", mark, phase.name, Text(took, style="dim"), Text(phase.detail, style="dim"))
    return Group(table, Text(f"   {problem(workspace)}", style="yellow", overflow="ellipsis", no_wrap=True))


def _took(phase: Phase, end: datetime) -> str:
    return seconds(max(0.0, (end - phase.started_at).total_seconds()))

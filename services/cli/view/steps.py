"""Shows the steps of `up` and `down`: a spinner on a terminal, plain lines in a pipe."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.markup import escape

from deploy.local.steps import Note
from services.cli.view.text import seconds

_LONG = 5.0
"""Seconds after which a step is said to be long, with how long it takes the first time."""


class ConsoleSteps:
    """The `Steps` of a person at a terminal, or of a log."""

    def __init__(self, console: Console) -> None:
        self._console = console

    @contextmanager
    def step(self, title: str, first_time: str = "") -> Iterator[Note]:
        """As `Steps.step`."""
        began = time.monotonic()
        view = _StepView(self._console, title, first_time)
        with view.shown():
            try:
                yield view.note
            except BaseException:
                self._console.print(f"[red]✗[/] {title}")
                raise
        self._console.print(f"[green]✓[/] {title} [dim]{seconds(time.monotonic() - began)}[/]")

    def say(self, line: str) -> None:
        """As `Steps.say`."""
        self._console.print(line, markup=False)


class _StepView:
    """One step while it goes on."""

    def __init__(self, console: Console, title: str, first_time: str) -> None:
        self._console = console
        self._title = title
        self._first_time = first_time
        self._began = time.monotonic()
        self._status = console.status(self._text(""))

    @contextmanager
    def shown(self) -> Iterator[None]:
        """The spinner turns in the body of `with`; a pipe gets a line instead."""
        if not self._console.is_terminal:
            self._console.print(f"… {self._title}")
            yield
            return
        with self._status:
            yield

    def note(self, line: str) -> None:
        """Show what goes on now."""
        if self._console.is_terminal:
            self._status.update(self._text(line))
        else:
            self._console.print(f"    {line}", markup=False)

    def _text(self, line: str) -> str:
        long = self._first_time and time.monotonic() - self._began > _LONG
        hint = f" [dim](the first time: {self._first_time})[/]" if long else ""
        return f"{self._title}{hint} [dim]{escape(line)}[/]"

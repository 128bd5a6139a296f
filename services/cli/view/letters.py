"""Shows dead letters."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime

from rich.text import Text

from services.cli.letters import Letter
from services.cli.view.console import make_console, print_json
from services.cli.view.text import age, columns

_HEADERS = ("SEQ", "AGE", "SERVICE", "SUBJECT", "TRIES", "ERROR")
_ERROR_LENGTH = 100


def show_letters(letters: Sequence[Letter]) -> None:
    """Print a line for each."""
    console = make_console()
    if not letters:
        console.print("No dead letters: every message could be read and handled.")
        return
    now = datetime.now(UTC)
    for line in columns(_HEADERS, [_row(letter, now) for letter in letters]):
        console.print(line, markup=False)


def _row(letter: Letter, now: datetime) -> list[str]:
    error = f"{letter.error_type}: {letter.error}".removeprefix(": ")
    short = error if len(error) <= _ERROR_LENGTH else error[: _ERROR_LENGTH - 1] + "…"
    return [str(letter.sequence), age(letter.time, now), letter.service, letter.subject, letter.delivered, short]


def show_letter(letter: Letter) -> None:
    """Print one with headers and body."""
    console = make_console()
    console.print(Text.assemble((f"{letter.subject}", "bold"), f", put aside by {letter.service}"))
    figures = f"{letter.time:%Y-%m-%d %H:%M:%S} UTC, after {letter.delivered or '?'} deliveries"
    console.print(Text.assemble((f"{letter.error_type}: {letter.error}", "red"), f"\n{figures}\n"))
    for name, value in sorted(letter.headers.items()):
        console.print(Text.assemble((f"{name}: ", "dim"), value))
    if letter.truncated:
        console.print(f"\nOnly a part of the message was kept: {letter.truncated}.", style="yellow")
    console.print("\n" + _pretty(letter.body), markup=False)


def _pretty(body: bytes) -> str:
    text = body.decode(errors="backslashreplace")
    try:
        return json.dumps(json.loads(text), indent=2)
    except ValueError:
        return text


def print_letters(letters: Sequence[Letter]) -> None:
    """Print all as JSON; bytes that are no text are escaped."""
    print_json(
        [
            letter.model_copy(update={"body": b""}).to_dict() | {"body": letter.body.decode(errors="backslashreplace")}
            for letter in letters
        ]
    )

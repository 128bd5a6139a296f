"""Shows an explanation: what stands first is what a person needs first."""

from __future__ import annotations

from datetime import UTC, datetime

from rich.console import Console
from rich.text import Text

from services.cli.view.console import make_console
from services.cli.view.text import age
from services.cli.why import Explanation, Verdict

STYLES = {
    Verdict.READY: "bold green",
    Verdict.SIMULATED: "bold magenta",
    Verdict.WAITING: "bold yellow",
    Verdict.FAILED: "bold red",
    Verdict.DELETING: "bold",
}


def show_explanation(found: Explanation) -> None:
    """Print it: the verdict, the reason, the words of others, what happens next, the plan's warnings."""
    console = make_console()
    console.print(
        Text.assemble((f"{found.namespace}/{found.name}: {found.verdict}", STYLES[found.verdict]), f". {found.summary}")
    )
    _line(console, "reason", _reason(found))
    _line(console, "since", _since(found.since))
    for words in found.words:
        _quote(console, words.source, words.text)
    _line(console, "next", found.next_step)
    _line(console, "when", _when(found.next_at))
    for warning in found.warnings:
        _line(console, "note", warning)


def _reason(found: Explanation) -> str:
    step = f"{found.step}={found.reason}" if found.step and found.reason else ""
    return ": ".join(part for part in (step, found.message) if part)


def _since(since: datetime | None) -> str:
    return f"{age(since, datetime.now(UTC))} ago ({since:%Y-%m-%d %H:%M:%S} UTC)" if since else ""


def _when(at: datetime | None) -> str:
    if at is None:
        return ""
    now = datetime.now(UTC)
    return f"in {age(now, at)} (at {at:%H:%M:%S} UTC)" if at > now else "now"


def _line(console: Console, title: str, text: str) -> None:
    if text:
        console.print(Text.assemble((f"  {title:<7}", "dim"), text))


def _quote(console: Console, source: str, text: str) -> None:
    """Someone's own words: on the same line where they are one line, else below, marked."""
    rows = text.splitlines()
    if len(rows) == 1:
        _line(console, "says", f"{source}: {rows[0]}")
        return
    _line(console, "says", f"{source}:")
    for row in rows:
        console.print(Text.assemble(("          │ ", "dim"), row))

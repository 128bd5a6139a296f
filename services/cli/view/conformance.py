"""Shows the results of the conformance suite."""

from __future__ import annotations

from collections.abc import Sequence

from rich.text import Text

from services.cli.conformance.outcome import Outcome, Result
from services.cli.conformance.scenarios import SCENARIOS
from services.cli.view.console import make_console, print_json
from services.cli.view.text import seconds

STYLES = {Outcome.PASSED: "green", Outcome.FAILED: "red", Outcome.NOT_ASKED: "dim"}
_NAME = max(len(scenario.name) for scenario in SCENARIOS) + 3
_OUTCOME = max(len(outcome) for outcome in Outcome) + 3


class ResultsView:
    """A table that grows by a row for each scenario that has been played."""

    def __init__(self) -> None:
        self._console = make_console()
        self._begun = False

    def _begin(self) -> None:
        if not self._begun:
            self._begun = True
            self._console.print(f"{'SCENARIO':<{_NAME}}{'RESULT':<{_OUTCOME}}TIME")

    def show(self, result: Result) -> None:
        """Print a row; of a breach what was seen, and the sentence that says otherwise."""
        self._begin()
        took = seconds(result.seconds) if result.outcome is not Outcome.NOT_ASKED else ""
        self._console.print(
            Text.assemble(
                f"{result.scenario:<{_NAME}}",
                (f"{result.outcome:<{_OUTCOME}}", STYLES[result.outcome]),
                took,
                (result.detail if result.outcome is Outcome.NOT_ASKED else "", "dim"),
            )
        )
        if result.outcome is Outcome.FAILED:
            self._console.print(Text(f'  the contract: "{result.rule}"'))
            self._console.print(Text(f"  seen: {result.detail}", style="red"))

    def sum_up(self, results: Sequence[Result]) -> None:
        """Print how many ended how."""
        counts = {outcome: sum(r.outcome is outcome for r in results) for outcome in Outcome}
        self._console.print(", ".join(f"{count} {outcome}" for outcome, count in counts.items() if count))


def print_results(results: Sequence[Result]) -> None:
    """Print all as JSON."""
    print_json([result.to_dict() for result in results])

"""Writes the table and the plot of `docs/sizing.md`; with `--check` it only says whether they are up to date."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.measured.plot import plot
from tests.measured.rows import measured_rows
from tests.measured.table import table

DOCS = Path(__file__).parents[2] / "docs"
BEGIN, END = "<!-- table: begin -->", "<!-- table: end -->"


def main() -> None:
    """Write, or check with exit code 1 for what is stale."""
    stale = [path for path, text in pages().items() if not path.exists() or path.read_text() != text]
    if "--check" in sys.argv[1:]:
        sys.exit(f"Stale, run `make sizing`: {', '.join(path.name for path in stale)}" if stale else 0)
    for path in stale:
        path.write_text(pages()[path])


def pages() -> dict[Path, str]:
    """The files with the text that they should have."""
    rows = measured_rows()
    page = DOCS / "sizing.md"
    before, _, rest = page.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    return {page: f"{before}{BEGIN}\n\n{table(rows)}\n\n{END}{after}", DOCS / "sizing.svg": plot(rows)}


if __name__ == "__main__":
    main()

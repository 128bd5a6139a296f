"""`python -m tests.golden`: writes the golden file of plans."""

from __future__ import annotations

import sys

from tests.golden.page import GOLDEN, page


def main() -> None:
    """Write it, and say whether it has changed."""
    before, now = GOLDEN.read_text("utf-8") if GOLDEN.exists() else "", page()
    GOLDEN.write_text(now, encoding="utf-8")
    sys.stdout.write(f"{GOLDEN.name}: {'unchanged' if before == now else 'changed'}\n")


if __name__ == "__main__":
    main()

"""Reads single flags off vLLM's command line before vLLM's own parser can: to import that takes seconds."""

from collections.abc import Sequence


def flag(argv: Sequence[str], name: str) -> str | None:
    """Return the last value of `--name VALUE` or `--name=VALUE`; None if it is not given. Empty for a switch.

    vLLM takes underscores for dashes, so they are the same here.
    """
    found = None
    for at, argument in enumerate(argv):
        key, equals, value = argument.partition("=")
        if key.startswith("--") and key[2:].replace("_", "-") == name:
            following = argv[at + 1] if at + 1 < len(argv) and not argv[at + 1].startswith("--") else ""
            found = value if equals else following
    return found

"""`python -m deploy.local.engine`: makes the engine's environment and the model, and prints where they are."""

import sys
from pathlib import Path

from deploy.local.engine import EngineSetupError, ensure_engine, ensure_model


def show(line: str) -> None:
    """Print one line of progress at once; standard output is kept for the result."""
    print(line, file=sys.stderr, flush=True)  # noqa: T201 - this module is a command line


def main() -> int:
    """Make both; 0 if they are there, else 1 with the reason on standard error."""
    try:
        env, model = ensure_engine(show), ensure_model(show)
    except EngineSetupError as error:
        show(str(error))
        return 1
    sys.stdout.write(report(env.home, env.python, env.bin, model))
    return 0


def report(home: Path, python: Path, binaries: Path, model: Path) -> str:
    """Return the places as shell assignments, a line each."""
    places = {"ENGINE_VENV": home, "ENGINE_PYTHON": python, "ENGINE_BIN": binaries, "ENGINE_MODEL": model}
    return "".join(f"{key}={value}\n" for key, value in places.items())


if __name__ == "__main__":
    sys.exit(main())

"""`python -m deploy.crds.generate [--check]`: writes the definition from the models, without and with CEL rules."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import yaml

from deploy.crds import CEL_FILE, PLAIN_FILE
from deploy.crds.definition import definition

_HEADER = "# Made by `python -m deploy.crds.generate` from services/contracts. Change the models, not this file.\n"


class _PlainDumper(yaml.SafeDumper):
    """YAML without anchors: a reader finds each schema whole."""

    def ignore_aliases(self, data: object) -> bool:  # noqa: ARG002 - the signature is PyYAML's
        return True


def render(*, cel: bool) -> str:
    """The definition as YAML, with CEL rules or without; the same models give the same text."""
    text: str = yaml.dump(definition(cel=cel), Dumper=_PlainDumper, sort_keys=False, width=110, allow_unicode=True)
    return _HEADER + text


def files() -> dict[Path, str]:
    """The generated files and what they should hold."""
    return {PLAIN_FILE: render(cel=False), CEL_FILE: render(cel=True)}


def stale() -> list[Path]:
    """The files that are missing, or are not what the models give today."""
    return [path for path, text in files().items() if not path.exists() or path.read_text(encoding="utf-8") != text]


def main(arguments: list[str] | None = None) -> int:
    """Write the files, or with `--check` compare them: 1 if one is not fresh."""
    parser = argparse.ArgumentParser(prog="python -m deploy.crds.generate", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; fail if a file is not fresh")
    if parser.parse_args(arguments).check:
        return _report(stale())
    for path, text in files().items():
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return 0


def _report(paths: list[Path]) -> int:
    for path in paths:
        sys.stderr.write(f"{path} is not what the models give. Run `python -m deploy.crds.generate`.\n")
    return 1 if paths else 0


if __name__ == "__main__":
    sys.exit(main())

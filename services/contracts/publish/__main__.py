"""`python -m services.contracts.publish [--check | --release]`: writes docs/contract from the models.

`--check` writes nothing and fails where a file is not fresh, or where a released version has been changed.
`--release` keeps today's document as the one that later ones are compared with.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from services.contracts.publish.breaking import complaint
from services.contracts.publish.document import VERSION, document
from services.contracts.publish.schemas import PUBLISHED, Schema, schema_file

FOLDER = Path(__file__).parents[3] / "docs" / "contract"
COMMAND = "python -m services.contracts.publish"


def files(folder: Path = FOLDER) -> dict[Path, str]:
    """The generated files, and what they should hold."""
    schemas = {folder / "schemas" / f"{name}.schema.json": schema_file(name, VERSION) for name in PUBLISHED}
    return {path: _text(body) for path, body in {folder / "kaitobus.asyncapi.json": document(), **schemas}.items()}


def problems(folder: Path = FOLDER) -> list[str]:
    """What is not as it should be, a sentence each."""
    found = [
        f"{path.relative_to(folder)} is not what the models give: run `{COMMAND}`"
        for path, text in files(folder).items()
        if not path.exists() or path.read_text("utf-8") != text
    ]
    released = newest_release(folder)
    if released is None:
        return [*found, f"no version has been released: run `{COMMAND} --release`"]
    wrong = complaint(released, document())
    return [*found, f"services/contracts: {wrong}"] if wrong else found


def newest_release(folder: Path = FOLDER) -> Schema | None:
    """The document of the highest version that was released."""
    paths = (folder / "released").glob("*.json")
    newest = max(paths, key=lambda path: tuple(map(int, path.stem.split("."))), default=None)
    return dict(json.loads(newest.read_text("utf-8"))) if newest else None


def write(folder: Path = FOLDER) -> None:
    """Write the files."""
    for path, text in files(folder).items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")


def release(folder: Path = FOLDER) -> str | None:
    """Keep today's document under its version. Returns why not, where that must not be: a release never changes."""
    path = folder / "released" / f"{VERSION}.json"
    last = newest_release(folder)
    wrong = complaint(last, document()) if last else None
    if path.exists() and path.read_text("utf-8") != _text(document()):
        wrong = wrong or f"version {VERSION} is out, and stays as it is"
    if wrong is None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(_text(document()), "utf-8")
    return wrong


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the options say; 1 if something is wrong."""
    parser = argparse.ArgumentParser(prog=COMMAND, description=__doc__)
    only = parser.add_mutually_exclusive_group()
    only.add_argument("--check", action="store_true", help="write nothing; fail if something is not as it should be")
    only.add_argument("--release", action="store_true", help="keep the document as the released one of its version")
    options = parser.parse_args(arguments)
    if options.check:
        wrong = problems()
    else:
        write()
        wrong = [text] if options.release and (text := release()) else []
    for line in wrong:
        sys.stderr.write(f"{line}\n")
    return 1 if wrong else 0


def _text(body: Schema) -> str:
    return json.dumps(body, indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    sys.exit(main())

"""Puts the layers of an image or artifact together: the files that are let through, as hard links."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from services.inference.oci.errors import Hostile, OciError
from services.inference.oci.layers import ROOTS
from services.inference.oci.names import Kind, is_wanted, shown
from services.inference.oci.store import link
from services.inference.oci.unpack import Unpacked

_NEEDED: Final = {Kind.MODEL: "config.json", Kind.ADAPTER: "adapter_config.json"}


FILES: Final = "files"
"""The folder of an archive's files within the folder that the store keeps of its layer."""
_TAKEN: Final = "taken.json"


class Content(NamedTuple):
    """What one layer adds: a file under a name, or a folder of files; and what it takes from those below."""

    path: Path
    name: str | None = None
    taken: Unpacked = Unpacked()


def write_taken(layer: Path, taken: Unpacked) -> None:
    """Keep what an archive takes away beside its files."""
    (layer / _TAKEN).write_text(json.dumps(taken))


def read_content(layer: Path, name: str | None) -> Content:
    """What the store keeps of a layer: a file, which gets its name, or a folder of files."""
    if name is not None:
        return Content(layer, name)
    removed, emptied = json.loads((layer / _TAKEN).read_text())
    return Content(layer / FILES, taken=Unpacked(tuple(removed), tuple(emptied)))


def assemble(contents: Sequence[Content], kind: Kind, draft: Path) -> None:
    """Fill the empty folder `draft`, lowest layer first. Raises OciError where what it gives is not of that kind."""
    for content in contents:
        _take_away(draft, content.taken)
        for source, name in _files(content):
            _put(source, draft / name)
    _filter(draft, kind)
    check_kind(root_of(draft), kind)


def root_of(tree: Path) -> Path:
    """The folder of a tree that holds the files: `data` or `models` if there are, else the one folder that is all."""
    for name in ROOTS:
        if (tree / name).is_dir() and any((tree / name).iterdir()):
            return _descend(tree / name)
    return _descend(tree)


def check_kind(folder: Path, kind: Kind) -> None:
    """Raises OciError where a folder lacks what a model or an adapter has."""
    files = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    if not files:
        raise OciError(f"There are no files of a {kind} in it: files that end in {', '.join(kind.suffixes)} are read.")
    needed = _NEEDED.get(kind)
    weights = kind is Kind.DATA or any(name.endswith(".safetensors") for name in files)
    if (needed and needed not in files) or not weights:
        missing = needed if needed and needed not in files else "file of weights (.safetensors)"
        raise OciError(f"It is no {kind}: there is no {missing}. It has {', '.join(files)[:300]}.")


def _descend(folder: Path) -> Path:
    inside = list(folder.iterdir())
    return _descend(inside[0]) if len(inside) == 1 and inside[0].is_dir() else folder


def _files(content: Content) -> Iterable[tuple[Path, str]]:
    if content.name is not None:
        return [(content.path, content.name)]
    return [(path, str(path.relative_to(content.path))) for path in content.path.rglob("*") if path.is_file()]


def _put(source: Path, target: Path) -> None:
    if target.is_dir():
        shutil.rmtree(target)
    target.unlink(missing_ok=True)
    try:
        link(source, target)
    except (FileExistsError, NotADirectoryError) as error:
        raise Hostile(f"Two layers have {shown(target.name)} as a file and as a folder.") from error


def _take_away(draft: Path, taken: Unpacked) -> None:
    """Do what whiteouts say. Their paths are checked to lie below the folder when they are read."""
    for name in taken.removed:
        path = draft / name
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    for name in taken.emptied:
        shutil.rmtree(draft / name, ignore_errors=True)


def _filter(draft: Path, kind: Kind) -> None:
    """Take away what is not let through. Raises OciError for what must not be there at all."""
    for path in [path for path in sorted(draft.rglob("*")) if path.is_file()]:
        if not is_wanted(kind, str(path.relative_to(draft))):
            path.unlink()

"""Looks at a folder that is here already (a volume, an image volume, a folder of the node) before it is used."""

from __future__ import annotations

import shutil
from pathlib import Path

from services.inference.oci.errors import OciError
from services.inference.oci.names import Kind, is_wanted
from services.inference.oci.store import made_whole, point
from services.inference.oci.tree import check_kind, root_of


def view(folder: Path, kind: Kind, into: Path) -> Path:
    """Make `into` lead to a view of the files that are let through, without copying them; the folder that they are in.

    Pickles that lie beside safetensors are left out of the view. Raises OciError, OSError.
    """
    if not folder.is_dir():
        raise OciError(f"There is no folder {folder} where the files should be.")
    root = root_of(folder)
    wanted = [path for path in sorted(root.rglob("*")) if path.is_file() and _taken(path, root, kind)]
    shown = into.with_name(f"{into.name}.view")
    shutil.rmtree(shown, ignore_errors=True)
    with made_whole(shown) as draft:
        for path in wanted:
            name = draft / path.relative_to(root)
            name.parent.mkdir(parents=True, exist_ok=True)
            name.symlink_to(path)
        check_kind(draft, kind)
    point(into, shown)
    return root


def _taken(path: Path, root: Path, kind: Kind) -> bool:
    """Whether a file is in the view. A pickle is an error only where there is nothing better."""
    try:
        return is_wanted(kind, str(path.relative_to(root)))
    except OciError:
        if any(root.rglob("*.safetensors")):
            return False
        raise

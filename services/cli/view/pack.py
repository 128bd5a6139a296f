"""Shows how `kaitobus pack` goes, and what it gave."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from services.cli.view.console import make_console, print_json
from services.inference.oci.push import REVISION, Pushed
from services.inference.oci.reference import Reference
from services.inference.oci.store import gib


@contextmanager
def progress_bar(what: str) -> Iterator[Callable[[int, int], None]]:
    """A bar on standard error, if that is a terminal. Its function is told bytes done and in all, from any thread."""
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(binary_units=True), TransferSpeedColumn())
    console = Console(stderr=True)
    off = not console.is_terminal
    with Progress(*columns, TimeRemainingColumn(), console=console, transient=True, disable=off) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def show_pushed(reference: Reference, pushed: Pushed, annotations: Mapping[str, str], *, as_json: bool) -> None:
    """Print the reference to use, pinned to the digest."""
    pinned = str(reference.at(pushed.digest))
    if as_json:
        known = {"reference": pinned, "digest": pushed.digest, "bytes": pushed.bytes, "found": pushed.found}
        print_json(known | {"layers": pushed.layers, "revision": annotations.get(REVISION)})
        return
    console = make_console()
    found = f", of which the registry had {gib(pushed.found)}" if pushed.found else ""
    console.print(f"Pushed {gib(pushed.bytes)} in {pushed.layers} layers{found}.")
    console.print("To serve it, name it in the Workspace, under inference.preset:")
    console.print(f"  presetOptions:\n    image: {pinned}", markup=False)

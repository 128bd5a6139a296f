"""The golden file as a page that a reviewer can read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from tests.golden.kaito import DATA
from tests.golden.plans import compared, differences, kinds, models, table_of, table_of_kinds

GOLDEN: Path = DATA / "plans.golden.md"
HEAD = ("machine", "nodes", "cut", "context", "at once", "weights", "work", "graphs", "cache")

INTRO = """\
# Every model of the catalogue on every known machine

Written by `python -m tests.golden`; a test compares. Memory is in GiB of the fullest GPU; *cut* is tensor (tp),
pipeline (pp) and data parallel (dp), and whole experts to each GPU (ep); *at once* is how many requests of the longest
context fit. More than one node is only rehearsed by this version. Nothing is wished for: the context is what fits.
"""

KAITO = """\
## Beside KAITO

Nodes here / nodes by KAITO 0.12, which plans for 2048 tokens; one number where both say the same.
"""


def page() -> str:
    """The whole page."""
    return "\n".join([INTRO, *_machines(), KAITO, *_comparison(), "", *_differences(), *_models()]).rstrip() + "\n"


def _machines() -> Iterator[str]:
    yield "## Machines\n"
    yield from _table(("machine", "sizes"), table_of_kinds(kinds()))
    yield ""


def _comparison() -> Iterator[str]:
    found = list(compared())
    rows = [[model.id, *(_pair(*pair) for pair in counts.values())] for model, counts in found]
    yield from _table(("model", *found[0][1]), rows)


def _pair(ours: int | None, theirs: int) -> str:
    return str(theirs) if ours == theirs else f"**{ours or 'none'} / {theirs}**"


def _differences() -> Iterator[str]:
    found = list(differences())
    fewer = sum(d.ours is not None and d.ours < d.kaitos for d in found)
    none = sum(d.ours is None for d in found)
    yield f"{len(found)} differ: {fewer} need fewer nodes, {len(found) - fewer - none} more, {none} do not run there.\n"
    for d in found:
        yield f"- {d.model} on {d.size}: {d.ours or 'none'} instead of {d.kaitos}. {d.because}"
    yield ""


def _models() -> Iterator[str]:
    found = kinds()
    for model in models():
        yield f"## {model.id}\n"
        yield f"{model.weights_gib:g} GiB of weights, up to {model.context} tokens of context.\n"
        yield from _table(HEAD, table_of(model, found))
        yield ""


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield f"|{'---|' * len(head)}"
    yield from (f"| {' | '.join(row)} |" for row in rows)

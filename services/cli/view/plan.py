"""Shows the answer of `kaitobus plan`: a table of candidates, why the others do not fit, and the choice."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.console import Console
from rich.text import Text

from services.cli.explain import BESIDES, Explained
from services.cli.plans import Planned
from services.cli.view.console import make_console
from services.cli.view.text import columns, seconds
from services.contracts.plan import Plan
from services.scheduler.candidates import Candidate, Misfit
from services.scheduler.sizing import Sizing

NARROW = ("", "SIZE", "GPUS", "PARALLEL", "CONTEXT", "AT ONCE", "$/HOUR")
MORE = ("$ SPOT", "PROVIDER", "NODES", "WEIGHTS", "WORK", "GRAPHS", "CACHE", "READY")
"""Columns that are added where there is room. Memory is in GiB of the fullest GPU."""
WIDE_ENOUGH = 120


def show_plan(planned: Planned, *, explain: bool = False) -> None:
    """Print one answer, and with `explain` why the engine gets its settings.

    In a pipe all columns are shown, and no line is cut.
    """
    console = make_console()
    console.print(Text(_title(planned), style="bold"))
    wide = not console.is_terminal or console.width >= WIDE_ENOUGH
    _candidates(console, planned, wide=wide)
    for line in _misfits(planned.found.misfits):
        console.print(Text(line, style="dim"), soft_wrap=not console.is_terminal)
    for line, style in _verdict(planned):
        console.print(Text(line, style=style), soft_wrap=not console.is_terminal)
    for line, style in _settings(planned.settings) if explain else ():
        console.print(Text(line, style=style), soft_wrap=not console.is_terminal)
    console.print()


def _settings(settings: Explained) -> Iterator[tuple[str, str]]:
    """Each flag and variable on a line, with the reason below it."""
    if not settings.flags:
        return
    yield "The engine is started with:", "bold"
    for flag in settings.flags:
        yield f"  --{flag.name}{f'={flag.value}' if flag.value else ''}", ""
        yield f"      {flag.why}", "dim"
    for variable in settings.environment:
        yield f"  {variable.name}={variable.value}", ""
        yield f"      {variable.why}", "dim"
    yield BESIDES, "dim"


def _title(planned: Planned) -> str:
    model = planned.model
    if model is None:
        return planned.where
    return f"{planned.where}: {model.id}, {model.weights_gib:g} GiB of weights, up to {model.context} tokens of context"


def _candidates(console: Console, planned: Planned, *, wide: bool) -> None:
    if not planned.found.candidates:
        return
    titles = (*NARROW, *MORE) if wide else NARROW
    rows = [_cells(c, chosen=planned.is_chosen(c), wide=wide) for c in planned.found.candidates]
    marked = [False, *(planned.is_chosen(c) for c in planned.found.candidates)]
    for line, chosen in zip(columns(titles, rows, gap=2), marked, strict=True):
        _line(console, line, "green" if chosen else "")


def _line(console: Console, line: str, style: str) -> None:
    """A line of a table: cut to the terminal rather than broken."""
    text = Text(line, style=style)
    if console.is_terminal:
        text.truncate(console.width, overflow="ellipsis")
    console.print(text)


def _cells(candidate: Candidate, *, chosen: bool, wide: bool) -> list[str]:
    offer, sizing = candidate.offer, candidate.sizing
    part = f"{candidate.gpus}/{offer.gpus}" if candidate.shares else str(candidate.gpus)
    cells = [
        "*" if chosen else "",
        offer.instance_type,
        f"{part} x {offer.gpu_model}" if offer.gpus else "none",
        _parallel(sizing) if sizing else "-",
        str(sizing.max_model_len) if sizing else "-",
        f"{sizing.concurrency:.1f}" if sizing else "-",
        _money(candidate.cost_per_hour),
    ]
    return [*cells, *_more(candidate)] if wide else cells


def _more(candidate: Candidate) -> list[str]:
    offer, sizing = candidate.offer, candidate.sizing
    spot = offer.spot_price_per_hour
    parts = ["-"] * 4
    if candidate.tuned:
        memory = candidate.tuned.memory
        work = memory.adapter_gib + memory.activation_gib + memory.overhead_gib
        parts = [f"{memory.weights_gib:.1f}", f"{work:.1f}", "-", "-"]
    if sizing:
        parts = [gib for _, gib in _parts(sizing)]
    return [
        _money(None if spot is None else spot * candidate.nodes),
        candidate.provider,
        str(candidate.nodes),
        *parts,
        "-" if offer.ready_seconds is None else seconds(offer.ready_seconds),
    ]


def _parts(sizing: Sizing) -> list[tuple[str, str]]:
    """What takes memory, in GiB, named as the columns are."""
    work = sizing.activation_gib + sizing.non_torch_gib
    parts = (("weights", sizing.weights_gib), ("work", work), ("graphs", sizing.graphs_gib))
    return [(name, f"{gib:.1f}") for name, gib in (*parts, ("cache", sizing.kv_cache_gib))]


def _parallel(sizing: Sizing) -> str:
    """Tensor, pipeline and data parallel sizes that are more than one."""
    sizes = (("tp", sizing.tensor_parallel), ("pp", sizing.pipeline_parallel), ("dp", sizing.data_parallel))
    named = [f"{name}{size}" for name, size in sizes if size > 1]
    return " ".join([*named, *(["ep"] if sizing.expert_parallel else [])]) or "-"


def _money(amount: float | None) -> str:
    return "?" if amount is None else f"{amount:.2f}"


def _misfits(misfits: Sequence[Misfit]) -> Iterator[str]:
    """Why each of the others is not chosen; those with the same reason on one line."""
    alike: dict[tuple[str, str], list[str]] = {}
    for misfit in misfits:
        alike.setdefault((misfit.provider, misfit.because), []).append(misfit.instance_type)
    for (provider, because), sizes in alike.items():
        more = f" and {len(sizes) - 2} more" if len(sizes) > 2 else ""
        yield f"   {', '.join(sizes[:2])}{more} ({provider}): {because}"


def _verdict(planned: Planned) -> Iterator[tuple[str, str]]:
    plan = planned.plan
    if plan is None:
        yield f"{'Wrong' if planned.wrong else 'Nothing fits'}: {planned.why_not}", "red"
    else:
        yield f"Chosen: {_nodes(plan)} of provider {plan.provider}. {' '.join(plan.reasons)}", "green"
        yield from ((line, "") for line in (_memory(planned.named) if planned.named else ()))
    notes = (*(plan.warnings if plan else ()), *planned.notes)
    yield from ((f"Note: {note}", "yellow") for note in notes)


def _nodes(plan: Plan) -> str:
    return plan.instance_type if plan.nodes == 1 else f"{plan.nodes} x {plan.instance_type}"


def _memory(candidate: Candidate) -> Iterator[str]:
    offer, sizing = candidate.offer, candidate.sizing
    if sizing:
        parts = ", ".join(f"{name} {gib}" for name, gib in _parts(sizing))
        yield f"Memory{' of each GPU' if offer.gpus else ''}: {parts} of {sizing.total_gib:.1f} GiB."
    if offer.price_note:
        yield f"Prices: {offer.price_note}."

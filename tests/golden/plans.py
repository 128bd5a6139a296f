"""Plans every model on every known machine, and says why a number of nodes is another than KAITO's."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from services.provisioner.skus import Sku, load_skus
from services.scheduler.catalog import load_catalogue
from services.scheduler.facts import ModelFacts
from services.scheduler.sizing import DoesNotFit, Machine, Sizing, size
from tests.golden.kaito import KaitoModel, read_kaito, reckon

TWICE = 1.2
"""KAITO's weights are so much more than ours where files are counted that the engine does not load."""


class Kind(NamedTuple):
    """Machine sizes with the same GPUs, on which a model runs in the same way."""

    machine: Machine
    label: str
    sizes: tuple[str, ...]


def kinds() -> list[Kind]:
    """All machines on which this engine runs, smallest first."""
    alike: dict[Machine, list[Sku]] = {}
    for sku in load_skus().values():
        if sku.runnable:
            alike.setdefault(machine_of(sku), []).append(sku)
    found = [Kind(m, _label(s), tuple(sorted(sku.name for sku in s))) for m, s in alike.items()]
    return sorted(found, key=lambda kind: (kind.machine.gpus * kind.machine.gpu_memory_gib, kind.label, kind.sizes))


def machine_of(sku: Sku) -> Machine:
    """A size as sizing sees it."""
    return Machine(
        gpus=sku.gpus,
        gpu_memory_gib=sku.gpu_usable_gib or sku.gpu_memory_gib,
        cuda_compute_capability=sku.compute_capability,
        interconnect=sku.interconnect,
    )


def _label(skus: Sequence[Sku]) -> str:
    sku, names = skus[0], "/".join(sorted({found.gpu_model for found in skus}))
    joined = f" {sku.interconnect}" if sku.interconnect else ""
    return f"{sku.gpus} x {names} {sku.gpu_memory_gib:g}{joined}"


def models() -> tuple[ModelFacts, ...]:
    """The catalogue."""
    return load_catalogue().models


def table_of_kinds(found: Sequence[Kind]) -> Iterator[list[str]]:
    """Each kind of machine with the sizes that are of it."""
    for kind in found:
        yield [kind.label, ", ".join(kind.sizes)]


def table_of(model: ModelFacts, found: Sequence[Kind]) -> Iterator[list[str]]:
    """What becomes of a model on each kind of machine."""
    for kind in found:
        sizing = size(model, kind.machine)
        yield [kind.label, *(_cells(sizing) if isinstance(sizing, Sizing) else _refused(sizing))]


def _cells(sizing: Sizing) -> list[str]:
    work = sizing.activation_gib + sizing.non_torch_gib
    parts = [f"{gib:.1f}" for gib in (sizing.weights_gib, work, sizing.graphs_gib, sizing.kv_cache_gib)]
    return [str(sizing.nodes), _cut(sizing), str(sizing.max_model_len), f"{sizing.concurrency:.1f}", *parts]


def _cut(sizing: Sizing) -> str:
    sizes = (("tp", sizing.tensor_parallel), ("pp", sizing.pipeline_parallel), ("dp", sizing.data_parallel))
    named = [f"{name}{number}" for name, number in sizes if number > 1]
    return " ".join([*named, *(["ep"] if sizing.expert_parallel else [])]) or "-"


def _refused(why: DoesNotFit) -> list[str]:
    return ["none", why.reason, *[""] * 6]


class Difference(NamedTuple):
    """A number of nodes that is not KAITO's; `ours` is None where no number will do."""

    model: str
    size: str
    ours: int | None
    kaitos: int
    because: str


def compared() -> Iterator[tuple[ModelFacts, dict[str, tuple[int | None, int]]]]:
    """For each model that KAITO has, our number of nodes and KAITO's, by size."""
    skus, kaitos = {sku.name: sku for sku in load_skus().values()}, read_kaito()
    for model in models():
        if model.id in kaitos:
            yield (
                model,
                {
                    name: (_nodes(size(model, machine_of(skus[name]))), count)
                    for name, count in kaitos[model.id].nodes.items()
                },
            )


def _nodes(sizing: Sizing | DoesNotFit) -> int | None:
    return sizing.nodes if isinstance(sizing, Sizing) else None


def differences() -> Iterator[Difference]:
    """All numbers that are not KAITO's, each with its reason."""
    skus, kaitos = {sku.name: sku for sku in load_skus().values()}, read_kaito()
    for model, counts in compared():
        for name, (ours, theirs) in counts.items():
            if ours != theirs:
                yield Difference(model.id, name, ours, theirs, _because(model, skus[name], kaitos[model.id], theirs))


def _because(model: ModelFacts, sku: Sku, kaito: KaitoModel, theirs: int) -> str:
    """The first cause that holds, with the numbers of the plan itself."""
    sizing = size(model, machine_of(sku))
    if isinstance(sizing, DoesNotFit):
        return f"KAITO sets no limit to nodes and does not look at how a model can be cut. {sizing.reason}"
    if sizing.nodes > theirs:
        tried = size(model, machine_of(sku), max_nodes=theirs)
        why = tried.reason if isinstance(tried, DoesNotFit) else ""
        return f"By its parts KAITO's number would not do: {why}"
    return f"{_their_reckoning(model, sku, kaito)} {_our_parts(sku, sizing)}"


def _their_reckoning(model: ModelFacts, sku: Sku, kaito: KaitoModel) -> str:
    steps = reckon(kaito, sku)
    twice = ""
    if kaito.weights_gib > TWICE * model.weights_gib:
        twice = f" (files that the engine does not load are counted: it loads {model.weights_gib:g} GiB)"
    return (
        f"KAITO reckons with {steps.loaded_gib:.1f} GiB of weights{twice} and {steps.room_gib:.1f} GiB of room for "
        f"them on each GPU, rounds down and adds one: {steps.gpus} GPUs, {steps.nodes} nodes."
    )


def _our_parts(sku: Sku, sizing: Sizing) -> str:
    gpus = sizing.tensor_parallel * sizing.pipeline_parallel
    work = sizing.activation_gib + sizing.non_torch_gib
    return (
        f"By its parts it needs {gpus}: each may use {(sizing.utilization or 1) * sizing.total_gib:.1f} GiB, of "
        f"which weights take {sizing.weights_gib:.1f} and its work {work:.1f}; {sizing.kv_cache_gib:.1f} GiB are left "
        f"for {sizing.kv_tokens} tokens."
    )

"""How long planning takes, and whether its memory stays flat. Pure computing: no bus, no cluster."""

from __future__ import annotations

import gc
import resource
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import cycle, islice

from services.contracts.messages import WorkspaceState
from services.contracts.offers import Offers
from services.contracts.workspace import Inference, LabelSelector, Preset, Resource, WorkspaceSpec
from services.provisioner.skus import load_table, tables
from services.scheduler.catalog import Catalogue, load_catalogue
from services.scheduler.known_skus import load_known_skus
from services.scheduler.make_plan import make_plan
from tests.bench.figure import Figure

PLANS = 10_000
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def measure_plans() -> list[Figure]:
    """One plan against all known sizes: the first of a model, and once it is warm; 10,000 of them; their memory."""
    catalogue, known = load_catalogue(), load_known_skus()
    clouds = (load_table(cloud).values() for cloud in tables())
    offers = [
        Offers(provider=name, offers=tuple(sku.offer() for sku in skus), published_at=NOW)
        for name, skus in zip(tables(), clouds, strict=True)
    ]
    states = list(_workspaces(catalogue))

    def plan(state: WorkspaceState) -> float:
        began = time.perf_counter()
        make_plan(state, offers, (), catalogue, known)
        return (time.perf_counter() - began) * 1000

    count = sum(len(found.offers) for found in offers)
    cold = tuple(plan(state) for state in states)
    began, before = time.perf_counter(), _megabytes()
    warm = tuple(plan(state) for state in islice(cycle(states), PLANS))
    seconds, grown = time.perf_counter() - began, _megabytes() - before
    return [
        Figure(f"plan against {count} offers, first of a model", "ms", cold, 500),
        Figure(f"plan against {count} offers, warm", "ms", warm, 5),
        Figure(f"{PLANS} plans on one core", "s", (seconds,), 60),
        Figure(f"memory grown by {PLANS} plans", "MB", (grown,), 5),
    ]


def _workspaces(catalogue: Catalogue) -> Iterator[WorkspaceState]:
    """One for each model of the catalogue."""
    for model in catalogue.models:
        spec = WorkspaceSpec(
            resource=Resource(label_selector=LabelSelector(match_labels={"apps": "bench"})),
            inference=Inference(preset=Preset(name=model.id)),
        )
        yield WorkspaceState(
            namespace="bench", name="w", uid=model.id, generation=1, resource_version="1", spec=spec, created_at=NOW
        )


def _megabytes() -> float:
    """The most memory that the process has had."""
    gc.collect()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

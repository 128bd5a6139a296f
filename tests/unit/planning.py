"""Workspaces, offers and reports for tests of the scheduler, and what it decides on them."""

from __future__ import annotations

from datetime import UTC, date, datetime

from services.contracts.errors import Failure, FailureCode
from services.contracts.messages import Report, WorkspaceState
from services.contracts.offers import Offer, Offers
from services.contracts.plan import Plan
from services.contracts.subjects import ServiceName
from services.contracts.workspace import (
    Adapter,
    DataDestination,
    DataSource,
    Inference,
    LabelSelector,
    Preset,
    Resource,
    Tuning,
    WorkspaceSpec,
)
from services.scheduler.catalog import load_catalogue
from services.scheduler.decide import Decision, decide
from services.scheduler.known_skus import load_known_skus

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
CATALOGUE, KNOWN = load_catalogue(), load_known_skus()


def gpu(
    name: str, memory: float, price: float | None, *, gpus: int = 1, capability: float = 8.0, **more: object
) -> Offer:
    return Offer.model_validate(
        {
            "instance_type": name, "gpus": gpus, "gpu_model": "A100", "gpu_memory_gib": memory,
            "cuda_compute_capability": capability, "price_per_hour": price, **more,
        }
    )  # fmt: skip


A10 = gpu("A10", 22, 1.0, capability=8.6)
A100 = gpu("A100", 79, 3.7)
V100 = gpu("Standard_NC6s_v3", 15.7, 3.06, capability=7.0, retired=date(2025, 9, 30), replacement="A10")
CLOUD = Offers(provider="cloud", offers=(A10, A100, V100), published_at=NOW)
FAKE = Offers(provider="fake", simulated=True, offers=(A10, A100, V100, gpu("cheap", 79, 0.1)), published_at=NOW)
LAPTOP = Offers(
    provider="local",
    offers=tuple(Offer(instance_type=f"local-{n}gi", memory_gib=n, price_per_hour=0) for n in (64, 8)),
    published_at=NOW,
)  # fmt: skip


def workspace(
    preset: str = "llama-3.1-8b-instruct",
    instance_type: str | None = None,
    *,
    annotations: dict[str, str] | None = None,
    config: str | None = None,
    tuning: bool = False,
    method: str = "lora",
    configs: dict[str, str] | None = None,
    adapters: tuple[Adapter, ...] | None = None,
) -> WorkspaceState:
    part: dict[str, object] = {"inference": Inference(preset=Preset(name=preset), adapters=adapters)}
    if tuning:
        source, output = (
            DataSource(urls=("https://example.org/d.parquet",)),
            DataDestination(image="r/i", image_push_secret="s"),
        )
        part = {"tuning": Tuning(preset=Preset(name=preset), method=method, input=source, output=output)}
    resource = Resource(instance_type=instance_type, label_selector=LabelSelector(match_labels={"apps": "x"}))
    return WorkspaceState(
        namespace="default", name="w", uid="u1", generation=1, resource_version="7", created_at=NOW,
        spec=WorkspaceSpec.model_validate({"resource": resource, **part}),
        annotations=annotations or {}, configs=configs or ({"inference_config.yaml": config} if config else {}),
    )  # fmt: skip


def decided(
    state: WorkspaceState,
    offers: tuple[Offers, ...] = (CLOUD,),
    previous: Plan | None = None,
    reports: tuple[Report, ...] = (),
    now: datetime = NOW,
) -> Decision:
    return decide(state, previous, offers, CATALOGUE, KNOWN, reports, now)


def planned(*args: object, **kwargs: object) -> Plan:
    plan = decided(*args, **kwargs).plan  # type: ignore[arg-type]  # handed through as they are
    assert plan is not None
    return plan


def failure(plan: Plan, code: FailureCode = FailureCode.QUOTA_EXCEEDED) -> Report:
    return Report(
        namespace="default", name="w", uid="u1", generation=1, plan_revision=plan.revision, provider=plan.provider,
        service=ServiceName.PROVISIONER,
        failure=Failure(code=code, message="no quota in eastus", instance_type=plan.instance_type),
    )  # fmt: skip

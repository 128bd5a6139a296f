"""The root span of a generation's trace: one for each, from its apply to the moment at which it is served."""

from __future__ import annotations

from datetime import timedelta

from services.contracts.conditions import ConditionType, false, true
from services.contracts.messages import Report
from services.contracts.plan import Plan
from services.contracts.status import WorkspaceStatus
from services.contracts.subjects import ServiceName
from services.watcher.status import Seen, next_status
from services.watcher.timeline import ready_span
from services.watcher.workspace import Workspace, read
from tests.unit.samples import NOW, manifest, plan, plan_state, report, stamp, workspace

CREATED = workspace().metadata.creation_timestamp
LATER = NOW + timedelta(hours=1)


def reports(generation: int, *, revision: int = 1, serves: bool = True) -> tuple[Report, ...]:
    """What all services say of a generation."""
    served = true(ConditionType.INFERENCE_READY, "Served")
    if not serves:
        served = false(ConditionType.INFERENCE_READY, "EngineStarting", "The engine starts.")
    nodes = (ConditionType.NODE_CLAIM_READY, ConditionType.NODES_READY, ConditionType.RESOURCE_READY)
    return (
        report(
            ServiceName.SCHEDULER, true(ConditionType.PLAN_READY, "Planned"), generation=generation, revision=revision
        ),
        report(
            ServiceName.PROVISIONER,
            *(true(type_, "Ready") for type_ in nodes),
            generation=generation,
            revision=revision,
            provider="azure",
        ),
        report(ServiceName.DEPLOYER, served, generation=generation, revision=revision),
    )


def status(of: Workspace, told: tuple[Report, ...], made: Plan | None = None) -> WorkspaceStatus:
    """The status that follows for a workspace."""
    state = plan_state(made, generation=of.metadata.generation)
    return next_status(of, Seen(plan=state, reports=told), NOW)


SERVED = status(workspace(), reports(1))
"""Of a first generation that is served."""


def second(*, changed: int = 0) -> Workspace:
    """Its second generation, changed so many seconds after NOW, as the API server answers a write of its status."""
    obj = manifest(generation=2, status=SERVED)
    managers = [
        {"manager": "kubectl", "time": stamp(-300)},
        {"manager": "editor", "time": stamp(changed), "fieldsV1": {"f:resource": {}}},
        {"manager": "watcher", "time": stamp(900), "subresource": "status"},
    ]
    obj["metadata"]["managedFields"] = managers  # type: ignore[index]
    return read(obj)


def test_the_first_generation_lasts_from_the_creation_until_it_is_served() -> None:
    made = workspace()
    assert ready_span(made.status, SERVED, made.metadata, LATER) == (CREATED, LATER)


def test_a_later_generation_has_a_root_though_the_workspace_was_served_all_the_time() -> None:
    made = second(changed=60)
    new = status(made, reports(2))
    assert new.is_true(ConditionType.WORKSPACE_READY)
    assert ready_span(SERVED, new, made.metadata, LATER) == (NOW + timedelta(seconds=60), LATER)


def test_and_no_root_as_long_as_it_is_the_earlier_generation_that_is_served() -> None:
    made = second()
    new = status(made, (reports(2, revision=2)[0], *reports(1)[1:]), plan(2))
    assert new.is_true(ConditionType.WORKSPACE_READY)
    assert ready_span(SERVED, new, made.metadata, LATER) is None


def test_nor_while_it_is_not_served() -> None:
    made = second()
    assert ready_span(SERVED, status(made, reports(2, serves=False)), made.metadata, LATER) is None


def test_a_generation_has_one_root() -> None:
    made = second()
    new = status(made, reports(2))
    told = new.model_copy(update={"next_step": "something else"})
    assert ready_span(new, told, made.metadata, LATER) is None

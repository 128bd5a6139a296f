"""What crosses a process comes out as it went in, and a newer sender does not break an older reader."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from services.contracts.base import Contract
from services.contracts.conditions import Condition, ConditionStatus, ConditionType
from services.contracts.errors import Failure, FailureCode
from services.contracts.messages import Demand, NodeReport, Phase, PlanState, Report, WorkspaceState
from services.contracts.plan import Fixed, Plan, Workload
from services.contracts.subjects import ServiceName
from services.contracts.workspace import LabelSelector, Preset, Resource, WorkspaceSpec
from tests.unit.samples import NOW, UID, plan, plan_state, report, workspace

text = st.text(max_size=20)
times = st.datetimes(min_value=datetime(2000, 1, 1), max_value=datetime(2100, 1, 1), timezones=st.just(UTC))
maps = st.dictionaries(text, text, max_size=3)
conditions = st.builds(
    Condition,
    type=st.sampled_from(ConditionType),
    status=st.sampled_from(ConditionStatus),
    reason=st.text(min_size=1, max_size=20),
    message=text,
)
phases = st.builds(Phase, name=text, started_at=times, finished_at=st.none() | times, detail=text)
failures = st.builds(
    Failure,
    code=st.sampled_from(FailureCode),
    message=text,
    instance_type=st.none() | text,
    retry_at=st.none() | times,
)
reports = st.builds(
    Report,
    namespace=text,
    name=text,
    uid=text,
    generation=st.integers(min_value=0),
    service=st.sampled_from(ServiceName),
    plan_revision=st.integers(min_value=0),
    provider=st.none() | text,
    conditions=st.lists(conditions, max_size=3).map(tuple),
    phases=st.lists(phases, max_size=2).map(tuple),
    nodes=st.lists(st.builds(NodeReport, name=text, ready=st.booleans(), detail=text), max_size=2).map(tuple),
    failure=st.none() | failures,
    endpoint=st.none() | text,
    released=st.booleans(),
    next_step=st.none() | text,
    next_at=st.none() | times,
)
plans = st.builds(
    Plan,
    revision=st.integers(min_value=1),
    generation=st.integers(min_value=0),
    workload=st.sampled_from(Workload),
    provider=text,
    instance_type=text,
    nodes=st.integers(min_value=1),
    node_labels=maps,
    why=st.lists(text, max_size=2).map(tuple),
    cost_per_hour=st.none() | st.floats(allow_nan=False, allow_infinity=False),
    fixed=st.builds(Fixed, instance_type=st.none() | text, labels=maps, workload=st.sampled_from(Workload)),
)
specs = st.builds(
    WorkspaceSpec,
    resource=st.builds(Resource, label_selector=st.builds(LabelSelector, match_labels=maps)),
)
states = st.builds(
    WorkspaceState,
    namespace=text,
    name=text,
    uid=text,
    generation=st.integers(min_value=0),
    resource_version=text,
    spec=specs,
    annotations=maps,
    configs=maps,
    plan=st.none() | plans,
    deleting=st.booleans(),
    created_at=times,
)


@given(reports | plans | states)
def test_what_is_sent_is_what_is_read(message: Contract) -> None:
    assert type(message).model_validate_json(message.to_json()) == message
    assert type(message).model_validate(message.to_dict()) == message


@given(reports | plans | states, st.dictionaries(st.text(min_size=1).map(lambda t: f"x-{t}"), text, min_size=1))
def test_a_newer_sender_may_add_fields(message: Contract, more: dict[str, str]) -> None:
    body = json.dumps({**message.to_dict(), **more})
    assert type(message).model_validate_json(body) == message


def test_names_on_the_wire_are_those_of_kubernetes() -> None:
    body = plan_state().to_dict()
    assert body["plan"]["nodeLabels"] == {"apps": "phi", "kaito.sh/workspace": "w"}  # type: ignore[index]


def test_the_same_content_has_the_same_digest_and_other_content_another() -> None:
    assert report(ServiceName.DEPLOYER).digest() == report(ServiceName.DEPLOYER).digest()
    assert report(ServiceName.DEPLOYER).digest() != report(ServiceName.DEPLOYER, endpoint="x").digest()
    assert len(report(ServiceName.DEPLOYER).digest()) == 32


def test_a_message_cannot_be_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        report(ServiceName.DEPLOYER).name = "other"  # type: ignore[misc]


def state(**changed: object) -> WorkspaceState:
    spec = workspace().spec
    assert spec is not None
    made = WorkspaceState(
        namespace="team", name="w", uid=UID, generation=3, resource_version="77", spec=spec, created_at=NOW
    )
    return made.model_copy(update=changed)


def demand(**changed: object) -> Demand:
    made = Demand(
        namespace="team", name="w", uid=UID, generation=3, plan_revision=2, provider="azure", nodes=1,
        instance_type="Standard_NC24ads_A100_v4",
    )  # fmt: skip
    return made.model_copy(update=changed)


class TestMessageIds:
    """By its id the server knows a repetition: it must be equal for the same, and differ for anything else."""

    def test_of_a_workspace(self) -> None:
        assert state().message_id == f"{UID}:3:77"

    def test_of_a_workspace_whose_config_map_changed_though_it_did_not(self) -> None:
        ids = {state(configs=configs).message_id for configs in ({}, {"k": "old"}, {"k": "new"})}
        assert len(ids) == 3

    def test_of_a_workspace_that_was_found_to_be_gone(self) -> None:
        assert state(deleting=True).message_id != state().message_id

    def test_of_a_plan(self) -> None:
        assert plan_state(plan(4), generation=3).message_id == f"{UID}:3:4"
        assert plan_state(plan(4), generation=3, retired=True).message_id == f"{UID}:3:4:retired"

    def test_of_a_demand(self) -> None:
        assert demand().message_id == f"{UID}:3:2:azure:1"
        assert demand(nodes=0).message_id == f"{UID}:3:2:azure:0"

    def test_of_a_report_is_its_content(self) -> None:
        made = report(ServiceName.DEPLOYER)
        assert made.message_id == f"{UID}:1:{made.digest()}"


class TestSubjects:
    """One subject for each object and speaker."""

    @pytest.mark.parametrize(
        ("made", "subject"),
        [
            (state, "kaito.workspace.team.w"),
            (plan_state, "kaito.plan.team.w"),
            (demand, "kaito.demand.azure.team.w"),
            (lambda: report(ServiceName.DEPLOYER), "kaito.report.deployer.team.w"),
            (lambda: report(ServiceName.SCHEDULER), "kaito.report.scheduler.team.w"),
            (lambda: report(ServiceName.PROVISIONER, provider="azure"), "kaito.report.provisioner-azure.team.w"),
        ],
        ids=["workspace", "plan", "demand", "deployer", "scheduler", "provisioner"],
    )
    def test_where_a_message_goes(
        self, made: Callable[[], WorkspaceState | PlanState | Demand | Report], subject: str
    ) -> None:
        assert made().subject == subject


def test_a_demand_is_never_for_less_than_nothing() -> None:
    with pytest.raises(ValidationError):
        Demand.model_validate({**demand().to_dict(), "nodes": -1})


def test_a_preset_needs_a_name() -> None:
    with pytest.raises(ValidationError):
        Preset.model_validate({"name": ""})


@pytest.mark.parametrize("code", FailureCode)
def test_a_failure_passes_or_is_terminal(code: FailureCode) -> None:
    assert Failure(code=code, message="").terminal is not code.passes
    assert not (code.passes and code.spends_offer)

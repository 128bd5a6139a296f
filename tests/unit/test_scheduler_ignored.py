"""What the user wrote and the plan does not follow is told in its warnings."""

from __future__ import annotations

import pytest

from services.contracts.messages import WorkspaceState
from services.contracts.workspace import Inference, Resource
from services.scheduler.decide import Decision, decide
from tests.unit.planning import CATALOGUE, CLOUD, KNOWN, NOW, workspace


def asked(inference: Inference | None = None, **resource: object) -> WorkspaceState:
    state = workspace()
    spec = state.spec.model_copy(
        update={"resource": Resource.model_validate(state.spec.resource.model_dump() | resource)}
    )
    return state.model_copy(update={"spec": spec.model_copy(update={"inference": inference or spec.inference})})


def decided(state: WorkspaceState, provider: str = "cloud") -> Decision:
    return decide(state, None, (CLOUD.model_copy(update={"provider": provider}),), CATALOGUE, KNOWN, (), NOW)


def warnings(state: WorkspaceState, provider: str = "cloud") -> str:
    plan = decided(state, provider).plan
    assert plan is not None
    return " ".join(plan.warnings)


def test_a_number_of_nodes_for_a_preset() -> None:
    found = decided(asked(count=3)).plan
    assert found is not None
    assert found.nodes == 1
    assert "resource.count is 3, and the plan has 1 node: for a preset" in " ".join(found.warnings)


@pytest.mark.parametrize("count", [1, None])
def test_one_is_what_the_definition_puts_in_so_nobody_has_asked_for_it(count: int | None) -> None:
    assert "resource.count" not in warnings(asked(count=count))


def test_the_number_counts_for_a_pod_of_ones_own() -> None:
    pod = Inference(template={"spec": {"containers": [{"name": "c", "image": "i"}]}})
    assert "resource.count" not in warnings(asked(pod, count=2))


def test_preferred_nodes_where_nodes_are_made() -> None:
    words = warnings(asked(preferred_nodes=("gpu-1",)))
    assert "resource.preferredNodes names nodes that exist (gpu-1)" in words
    assert "cloud makes new ones" in words
    assert "kaito.sh/provider: byo" in words


def test_preferred_nodes_among_those_that_exist() -> None:
    assert "preferredNodes" not in warnings(asked(preferred_nodes=("gpu-1",)), "byo")


def test_an_instance_type_that_nobody_knows_stands_in_quotes() -> None:
    assert "the instance type 'A100 x'" in decided(asked(instance_type="A100 x")).condition.message

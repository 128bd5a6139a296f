"""Every example, and every manifest of the source document, where only the simulated cloud is: each says so."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
import yaml

from deploy.local.controlplane import ControlPlane
from services.chassis.kube import CONFIGMAPS, JOBS, NODES, SERVICES, STATEFULSETS, ObjectRef, dig_dict, dig_str
from services.contracts.conditions import ConditionType, Reason
from services.contracts.status import State, WorkspaceStatus
from services.contracts.workspace import LABEL_SIMULATED, LABEL_WORKSPACE_NAMESPACE
from tests.stack import Stack, running, until

pytestmark = pytest.mark.asyncio(loop_scope="session")

ROOT = Path(__file__).parents[2]
EXAMPLES = {path.stem: path for path in (ROOT / "examples").glob("*.yaml")}
SOURCES = {path.stem: path for path in (ROOT / "tests" / "data" / "source-examples").glob("*.yaml")}

WITH_ADAPTERS = ("05-adapters", "07-tuned", "phi-3-adapters")
SERVED = ("01-smollm2", "02-phi-3-simulated", "03-llama-by-price", "04-engine-settings", "phi-3", *WITH_ADAPTERS)
TUNED = ("06-tuning", "phi-3-tuning", "phi-3-adapters-tuning")


class Applied:
    """One manifest in a namespace of its own."""

    def __init__(self, stack: Stack, stem: str) -> None:
        self.stack = stack
        self.path = {**EXAMPLES, **SOURCES}[stem]
        self.namespace = f"example-{stem}"
        documents = yaml.safe_load_all(self.path.read_text())
        self.name = next(dig_str(d, "metadata", "name") for d in documents if d["kind"] == "Workspace")

    async def apply(self) -> None:
        """As a person does, in a namespace that is there."""
        await self.stack.kubectl("create", "namespace", self.namespace)
        await self.stack.kubectl("-n", self.namespace, "apply", "-f", str(self.path))

    async def status(self) -> WorkspaceStatus:
        return await self.stack.status(self.name, self.namespace)

    async def until_condition(self, type_: ConditionType, reason: str) -> WorkspaceStatus:
        async def is_there() -> bool:
            found = (await self.status()).condition(type_)
            return found is not None and found.reason == reason

        await until(is_there, what=f"{self.name}: {type_} with {reason}")
        return await self.status()

    async def row(self) -> dict[str, str]:
        """What `kubectl get workspace -o wide` shows, by column."""
        shown = await self.stack.kubectl("-n", self.namespace, "get", "workspace", self.name, "-o", "wide")
        header, row = shown.splitlines()[:2]
        columns = list(re.finditer(r"\S+\s*", header))  # a cell may be empty, so only its place tells its column
        return {found.group().strip(): row[found.start() : found.end()].strip() for found in columns}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def stack(control_plane: ControlPlane, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    """A stack on which all manifests were applied at once."""
    async with running(tmp_path_factory.mktemp("examples"), control_plane) as stack:
        # Other tests have left Workspaces on this control plane, which nobody has looked after.
        await stack.kubectl("delete", "workspaces", "--all", "--all-namespaces", "--wait=false")
        await stack.start()
        await asyncio.gather(*(Applied(stack, stem).apply() for stem in (*EXAMPLES, *SOURCES)))
        yield stack
        await stack.kubectl("delete", "workspaces", "--all", "--all-namespaces", "--timeout=60s")


@pytest.fixture
def applied(stack: Stack, request: pytest.FixtureRequest) -> Applied:
    return Applied(stack, request.param)


async def test_every_manifest_is_looked_at() -> None:
    assert sorted([*SERVED, *TUNED]) == sorted([*EXAMPLES, *SOURCES])


@pytest.mark.parametrize("applied", SERVED, indirect=True)
async def test_a_served_model_is_rehearsed_to_the_end_and_says_simulated_wherever_it_shows(applied: Applied) -> None:
    status = await applied.until_condition(ConditionType.WORKSPACE_READY, Reason.SIMULATED)
    assert status.state is State.SIMULATED
    assert status.simulated
    assert all("Simulated" in c.message for c in status.conditions), status.conditions
    row = await applied.row()
    assert row["INSTANCE"].endswith("(simulated)")
    assert row["STATE"] == "Simulated"


@pytest.mark.parametrize("applied", SERVED, indirect=True)
async def test_it_has_workload_and_marked_nodes_and_never_an_endpoint(applied: Applied) -> None:
    status = await applied.until_condition(ConditionType.WORKSPACE_READY, Reason.SIMULATED)
    assert status.endpoint is None
    nodes = (await applied.stack.kube.list(NODES, labels=f"{LABEL_WORKSPACE_NAMESPACE}={applied.namespace}")).items
    assert len(nodes) == status.target_node_count
    assert {dig_str(node, "metadata", "labels", LABEL_SIMULATED) for node in nodes} == {"true"}
    assert await applied.stack.kube.get(ObjectRef(STATEFULSETS, applied.name, applied.namespace))
    assert await applied.stack.kube.get(ObjectRef(SERVICES, applied.name, applied.namespace))


@pytest.mark.parametrize("applied", ["02-phi-3-simulated", "phi-3"], indirect=True)
async def test_a_named_size_that_is_retired_is_planned_as_asked_with_a_warning(applied: Applied) -> None:
    status = await applied.until_condition(ConditionType.PLAN_READY, Reason.PLANNED)
    assert status.plan is not None
    assert status.plan.instance_type == "Standard_NC6s_v3"
    warnings = " ".join(status.plan.warnings)
    assert "retired" in warnings
    assert "V100" in warnings


@pytest.mark.parametrize("applied", ["03-llama-by-price"], indirect=True)
async def test_a_size_is_chosen_by_price_and_the_plan_says_how_and_what_is_missing(applied: Applied) -> None:
    status = await applied.until_condition(ConditionType.PLAN_READY, Reason.PLANNED)
    assert status.plan is not None
    assert "cheapest of" in " ".join(status.plan.why)
    assert "gated" in " ".join(status.plan.warnings)
    assert float((await applied.row())["COST/H"]) > 0


@pytest.mark.parametrize("applied", ["04-engine-settings"], indirect=True)
async def test_settings_of_the_engine_reach_the_command_line(applied: Applied) -> None:
    await applied.until_condition(ConditionType.WORKSPACE_READY, Reason.SIMULATED)
    made = await applied.stack.kube.get(ObjectRef(STATEFULSETS, applied.name, applied.namespace))
    assert "--max-model-len=1024" in str(dig_dict(made, "spec", "template", "spec"))


@pytest.mark.parametrize("applied", WITH_ADAPTERS, indirect=True)
async def test_adapters_get_room_in_the_engine_and_a_list_that_the_pod_mounts(applied: Applied) -> None:
    status = await applied.until_condition(ConditionType.ADAPTERS_READY, Reason.SIMULATED)
    assert status.plan is not None
    assert status.plan.lora is not None
    listed = await applied.stack.kube.get(ObjectRef(CONFIGMAPS, f"{applied.name}-adapters", applied.namespace))
    found = json.loads(dig_str(listed, "data", "adapters.json"))["adapters"]
    assert [adapter["name"] for adapter in found] == [adapter.name for adapter in status.plan.lora.adapters]
    made = await applied.stack.kube.get(ObjectRef(STATEFULSETS, applied.name, applied.namespace))
    assert "--enable-lora" in str(dig_dict(made, "spec", "template", "spec"))


@pytest.mark.parametrize("applied", TUNED, indirect=True)
async def test_tuning_is_rehearsed_to_the_end_as_a_job_and_says_simulated(applied: Applied) -> None:
    status = await applied.until_condition(ConditionType.WORKSPACE_READY, Reason.SIMULATED)
    assert status.state is State.SIMULATED
    assert status.tuning is None
    assert status.is_true(ConditionType.JOB_SUCCEEDED)
    made = await applied.stack.kube.get(ObjectRef(JOBS, applied.name, applied.namespace))
    assert "kaitobus-tune" in str(dig_dict(made, "spec", "template", "spec"))
    assert await applied.stack.kube.get(ObjectRef(STATEFULSETS, applied.name, applied.namespace)) is None

"""What the tests of the watcher share: workspaces to write, and the other services' side of one."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from services.chassis.bus import Bus
from services.chassis.kube import KubeClient, dig_str
from services.contracts import subjects
from services.contracts.conditions import ConditionType, Reason, true
from services.contracts.messages import NodeReport, Phase, PlanState, Report, WorkspaceState
from services.contracts.plan import Plan
from services.contracts.status import State
from services.contracts.subjects import ServiceName
from tests.kubernetes.service_fixtures import Workspaces, eventually, newest
from tests.unit.samples import NOW
from tests.unit.samples import plan as sample_plan


@pytest_asyncio.fixture(loop_scope="session")
async def workspaces(client: KubeClient, namespace: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Workspaces]:
    """The workspaces of the test's namespace, in which the Lease is too; what is left at the end is set free."""
    monkeypatch.setenv("KAITOBUS_LEASE_NAMESPACE", namespace)
    made = Workspaces(client, namespace)
    yield made
    for obj in (await client.list(made.ref().resource, namespace=namespace)).items:
        ref = made.ref(dig_str(obj, "metadata", "name"))
        await client.delete(ref)
        if await client.get(ref):
            await client.merge_patch(ref, {"metadata": {"finalizers": None}})


async def wanted(bus: Bus, namespace: str, name: str = "w") -> WorkspaceState | None:
    """What the watcher has published of a workspace."""
    return await newest(bus, WorkspaceState, subjects.workspace(namespace, name))


async def held(bus: Bus, namespace: str) -> WorkspaceState | None:
    """The same once the workspace is held by its finalizer."""
    state = await wanted(bus, namespace)
    return state if state and state.held else None


def plan(**changed: object) -> Plan:
    """A plan for the instance type of these workspaces."""
    return sample_plan().model_copy(
        update={"instance_type": "Standard_X", "fixed": sample_plan().fixed.model_copy(
            update={"instance_type": "Standard_X", "labels": {"apps": "w"}})} | changed
    )  # fmt: skip


def plan_of(state: WorkspaceState, made: Plan | None = None, *, retired: bool = False) -> PlanState:
    """What the scheduler publishes with a plan."""
    return PlanState(
        namespace=state.namespace, name=state.name, uid=state.uid, generation=state.generation,
        plan=made or plan(), retired=retired,
    )  # fmt: skip


def report(state: WorkspaceState, service: ServiceName, *types: ConditionType, **of: object) -> Report:
    """What a service says of a workspace: that all these conditions are true."""
    made = Report(
        namespace=state.namespace, name=state.name, uid=state.uid, generation=state.generation, service=service,
        plan_revision=1, conditions=tuple(true(t, Reason.PLANNED, "As it should be.") for t in types),
    )  # fmt: skip
    return made.model_copy(update=of)


async def all_is_well(bus: Bus, state: WorkspaceState) -> None:
    """What the other services would publish for a workspace that serves."""
    nodes = (ConditionType.NODE_CLAIM_READY, ConditionType.NODES_READY, ConditionType.RESOURCE_READY)
    booted = Phase(name="boots", started_at=NOW.replace(microsecond=123456), finished_at=NOW)
    await bus.publish(plan_of(state))
    await bus.publish(report(state, ServiceName.SCHEDULER, ConditionType.PLAN_READY))
    await bus.publish(
        report(
            state, ServiceName.PROVISIONER, *nodes, provider="azure", phases=(booted,),
            nodes=(NodeReport(name="node-1", ready=True),),
        )
    )  # fmt: skip
    await bus.publish(report(state, ServiceName.DEPLOYER, ConditionType.INFERENCE_READY, endpoint="http://w"))


async def served(bus: Bus, workspaces: Workspaces, namespace: str) -> WorkspaceState:
    """A workspace that was applied, published and reported as ready."""
    await workspaces.create()
    state = await eventually(lambda: held(bus, namespace))
    assert state is not None
    await all_is_well(bus, state)
    await eventually(lambda: is_in(workspaces, State.READY))
    return state


async def is_in(workspaces: Workspaces, state: State) -> bool:
    """Whether the status says so."""
    return (await workspaces.status()).state is state

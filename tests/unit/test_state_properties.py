"""The whole way of a workspace as plain functions on a bus that keeps the newest of each subject.

Services act in any order, as often as they like, on whatever is there; the bus may lose everything. Whatever
happened: the status ends the same, and a deleted workspace is released exactly when nothing is left of it.
"""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from services.contracts import subjects
from services.contracts.conditions import ConditionType, Reason, StatusCondition, true
from services.contracts.messages import Demand, Message, NodeReport, PlanState, Report, WorkspaceState
from services.contracts.plan import Plan
from services.contracts.status import State, WorkspaceStatus
from services.contracts.subjects import ServiceName
from services.deployer.report import Observed, released, to_report
from services.scheduler.demands import demands_for
from services.scheduler.release import release
from services.watcher.state import to_state
from services.watcher.status import Seen, next_status
from services.watcher.workspace import Workspace
from services.watcher.writer import report_subjects
from tests.unit.samples import NOW, UID, plan, pod, workspace

PROVIDERS = ("azure", "aws")
PODS_END_IN = 4
"""Turns of the deployer: more than nodes need, so that a wrong order would show."""
SERVICES = ("scheduler", "deployer", *PROVIDERS, "watcher")
ACTS = ("watcher", "scheduler", "deployer", "azure", "aws", "moves", "wipe", "sees nothing")


class World:
    """One workspace, the bus, and what really exists: a workload and nodes."""

    def __init__(self) -> None:
        self.bus: dict[str, Message] = {}
        self.workspace: Workspace | None = workspace(held=False)
        self.pods = 0
        self.nodes = dict.fromkeys(PROVIDERS, 0)
        self.provider = "azure"
        self.resync()

    # -- what may happen

    def act(self, name: str) -> None:
        """One service has its turn, or something happens to the bus."""
        if name == "wipe":
            self.watcher()  # the plan is in the status before anything can be made by it
            self.bus.clear()
            self.resync()
        elif name == "moves":
            self.provider = "aws"
        elif name in PROVIDERS:
            self.provisioner(name)
        elif name != "sees nothing":
            getattr(self, name)()
        self.check()

    def delete(self) -> None:
        """The user deletes the workspace, which its finalizer keeps once it has it."""
        if self.workspace is not None and not self.workspace.metadata.held:
            self.put(to_state(self.workspace, {}).model_copy(update={"deleting": True}))
            self.workspace = None
            self.pods = 0
            self.check()
        elif self.workspace is not None:
            self.workspace = workspace(deleting=True, generation=2, status=self.workspace.status)
            self.resync()

    def settle(self, order: Sequence[str] = SERVICES) -> None:
        """Everybody has a turn, in that order, until nothing changes any more."""
        for _ in range(20):
            before = self.all()
            self.resync()
            for name in order:
                self.act(name)
            if self.all() == before:
                return
        raise AssertionError("it never settles")

    def all(self) -> tuple[object, ...]:
        """Everything there is, as it is now."""
        return self.workspace, dict(self.bus), self.pods, dict(self.nodes)

    def check(self) -> None:
        """Nothing is left behind by a workspace that was let go."""
        if self.workspace is None:
            assert self.pods == 0, "the workload outlives its workspace"
            assert not any(self.nodes.values()), "nodes outlive their workspace"

    # -- the services

    def resync(self) -> None:
        """The watcher publishes what the user wants."""
        if self.workspace is not None:
            self.put(to_state(self.workspace, {}))

    def watcher(self) -> None:
        """Hold it, write the status, and let go once the scheduler has said so."""
        if self.workspace is None:
            return
        if not self.workspace.metadata.held:
            self.workspace = workspace(status=self.workspace.status)
            self.resync()
        found = self.bus.get(subjects.plan("team", "w"))
        planned = found if isinstance(found, PlanState) else None
        reports = [self.bus.get(subject) for subject in report_subjects(self.workspace, planned)]
        seen = Seen(plan=planned, reports=tuple(r for r in reports if isinstance(r, Report)))
        status = next_status(self.workspace, seen, NOW)
        self.workspace = self.workspace.model_copy(update={"status": status})
        said = any(r.released and r.service is ServiceName.SCHEDULER for r in seen.reports)
        if self.workspace.metadata.deleting and said:
            self.workspace = None

    def scheduler(self) -> None:
        """Plan, or take down in order."""
        state = self.bus.get(subjects.workspace("team", "w"))
        if not isinstance(state, WorkspaceState):
            return
        made = self.newest_plan(state)
        if state.deleting:
            self.take_down(state, made)
            return
        if made is None or made.provider != self.provider:
            made = self.planned(made)
        self.put(PlanState(namespace="team", name="w", uid=UID, generation=state.generation, plan=made))
        for demand in demands_for(state, made):
            self.put(demand)
        self.put(self.scheduled(state, made))

    def take_down(self, state: WorkspaceState, made: Plan | None) -> None:
        step = release(state, made, [m for m in self.bus.values() if isinstance(m, Report)])
        for message in (*((step.plan,) if step.plan else ()), *step.demands):
            self.put(message)
        if step.done:
            self.put(self.scheduled(state, made).model_copy(update={"conditions": (), "released": True}))

    def deployer(self) -> None:
        """Pods are there at once, and take their time to end."""
        state = self.bus.get(subjects.plan("team", "w"))
        if not isinstance(state, PlanState):
            return
        if not state.retired:
            self.pods = PODS_END_IN if self.workspace else 0  # Kubernetes ends what belongs to what is gone
            self.put(to_report(state, Observed(pods=(pod(ready=any(self.nodes.values())),))))
        elif self.pods:
            self.pods -= 1
        else:
            self.put(released(state))

    def provisioner(self, name: str) -> None:
        """Bring the number of nodes to what is demanded."""
        demand = self.bus.get(subjects.demand(name, "team", "w"))
        if not isinstance(demand, Demand):
            return
        if self.nodes[name] != demand.nodes:
            self.nodes[name] = demand.nodes
            return
        self.put(nodes_report(demand))

    # -- small things

    def put(self, message: Message) -> None:
        self.bus[message.subject] = message

    def newest_plan(self, state: WorkspaceState) -> Plan | None:
        found = self.bus.get(subjects.plan("team", "w"))
        known = [p for p in (state.plan, found.plan if isinstance(found, PlanState) else None) if p]
        return max(known, key=lambda p: p.revision, default=None)

    def planned(self, before: Plan | None) -> Plan:
        providers = tuple(dict.fromkeys((*(before.providers if before else ()), self.provider)))
        return plan((before.revision if before else 0) + 1, provider=self.provider).model_copy(
            update={"providers": providers}
        )

    def scheduled(self, state: WorkspaceState, made: Plan | None) -> Report:
        return Report(
            namespace="team", name="w", uid=UID, generation=state.generation, service=ServiceName.SCHEDULER,
            plan_revision=made.revision if made else 0, conditions=(true(ConditionType.PLAN_READY, Reason.PLANNED),),
        )  # fmt: skip


def nodes_report(demand: Demand) -> Report:
    types = (ConditionType.NODE_CLAIM_READY, ConditionType.NODES_READY, ConditionType.RESOURCE_READY)
    return Report(
        namespace="team", name="w", uid=UID, generation=demand.generation, service=ServiceName.PROVISIONER,
        provider=demand.provider, plan_revision=demand.plan_revision, released=demand.nodes == 0,
        conditions=tuple(true(t, Reason.NODES_READY) for t in types) if demand.nodes else (),
        nodes=tuple(NodeReport(name=f"{demand.provider}-{n}", ready=True) for n in range(demand.nodes)),
    )  # fmt: skip


def outcome(status: WorkspaceStatus) -> tuple[object, ...]:
    """The status without what tells of the way to it: the number of plans, and when what was seen."""
    conditions: Sequence[StatusCondition] = status.conditions
    told = [(c.type, c.status, c.reason, c.message, c.observed_generation) for c in conditions]
    return (told, status.state, status.worker_nodes, status.endpoint, status.instance, status.next_step)


orders = st.permutations(SERVICES)
acts = st.lists(st.sampled_from(ACTS), max_size=40)


@given(acts, orders)
@settings(max_examples=300)
def test_whatever_was_repeated_reordered_or_lost_the_status_ends_the_same(done: list[str], order: list[str]) -> None:
    world, straight = World(), World()
    for name in done:
        world.act(name)
    straight.provider = world.provider
    world.settle(order)
    straight.settle()
    assert world.workspace is not None
    assert straight.workspace is not None
    assert outcome(world.workspace.status) == outcome(straight.workspace.status)
    assert world.workspace.status.state is State.READY
    assert world.nodes == straight.nodes


@given(acts, orders)
def test_once_settled_nothing_changes_any_more(done: list[str], order: list[str]) -> None:
    world = World()
    for name in done:
        world.act(name)
    world.settle()
    settled = world.all()
    for name in order:
        world.act(name)
        assert world.all() == settled


@given(acts, st.booleans(), acts, orders)
@settings(max_examples=300)
def test_a_deleted_workspace_is_let_go_in_the_end_and_never_before_all_is_gone(
    before: list[str], served: bool, after: list[str], order: list[str]
) -> None:
    world = World()
    for name in before:
        world.act(name)
    if served:
        world.settle()
    world.delete()
    for name in after:
        world.act(name)  # checks after each
    world.settle(order)
    assert world.workspace is None


@given(acts)
def test_a_workspace_that_nobody_deletes_is_never_let_go(done: list[str]) -> None:
    world = World()
    for name in done:
        world.act(name)
        assert world.workspace is not None

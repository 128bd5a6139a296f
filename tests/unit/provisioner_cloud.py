"""A cloud in memory for tests of the decisions: machines and nodes that change only when told to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial

from services.contracts.errors import Failure
from services.contracts.messages import Demand
from services.provisioner.node_facts import NodeFacts, demanded_labels, owner_in
from services.provisioner.provider import Deadlines, Instance, InstanceSpec, InstanceState, Owner, instance_name
from services.provisioner.reconcile import Actions
from services.provisioner.view import View

START = datetime(2026, 1, 1, 12, 0, 0, tzinfo=UTC)
DEADLINES = Deadlines()


def demand(nodes: int = 1, *, uid: str = "uid-1", size: str = "Standard_A", revision: int = 1) -> Demand:
    return Demand(
        namespace="default", name="w", uid=uid, generation=1, plan_revision=revision, provider="fake",
        nodes=nodes, instance_type=size, labels={"apps": "x"}, taints=("sku=gpu:NoSchedule",),
    )  # fmt: skip


def name_of(index: int, uid: str = "uid-1") -> str:
    return instance_name("fake", uid, index)


def machine(
    index: int = 0,
    state: InstanceState = InstanceState.RUNNING,
    *,
    uid: str = "uid-1",
    size: str = "Standard_A",
    age: timedelta = timedelta(seconds=12),
    failure: Failure | None = None,
) -> Instance:
    name = name_of(index, uid)
    return Instance(
        id=name, name=name, owner=Owner(namespace="default", name="w", uid=uid), instance_type=size,
        created_at=START - age, state=state, failure=failure, detail="is booting",
        node_name=name if state is InstanceState.RUNNING else None,
        launched_at=START - age if state is InstanceState.RUNNING else None,
    )  # fmt: skip


def node(index: int = 0, *, ready: bool = True, gpus: int = 0, uid: str = "uid-1", bare: bool = False) -> NodeFacts:
    labels = {} if bare else demanded_labels(demand(uid=uid), simulated=False)
    return NodeFacts(
        name=name_of(index, uid), owner=owner_in(labels), labels=labels, taints=("sku=gpu:NoSchedule",),
        gpus=gpus, ready=ready, because="" if ready else "kubelet stopped", created_at=START, ready_at=START,
    )  # fmt: skip


def view(wanted: Demand | None = None, **fields: object) -> View:
    return replace(View(wanted or demand()), **fields)  # type: ignore[arg-type]  # the test names the fields


class Cloud:
    """Creates and deletes as a cloud does: at once in its books, later in the world."""

    def __init__(self) -> None:
        self.now = START
        self.instances: dict[str, Instance] = {}
        self.nodes: dict[str, NodeFacts] = {}

    def view(self, wanted: Demand, refusal: Failure | None = None) -> View:
        nodes = tuple(self.nodes.values())
        return View(wanted, instances=tuple(self.instances.values()), nodes=nodes, refusal=refusal)

    def create(self, spec: InstanceSpec) -> None:
        """Adopts the machine that has the name already."""
        self.instances.setdefault(
            spec.name,
            Instance(
                id=spec.name, name=spec.name, owner=spec.owner, instance_type=spec.instance_type,
                created_at=self.now, state=InstanceState.CREATING,
            ),
        )  # fmt: skip

    def carry_out(self, actions: Actions, limit: int | None = None) -> None:
        """All of it, or only the first `limit` calls: then the process died."""
        calls: list[Callable[[], object]] = [partial(self.create, spec) for spec in actions.create]
        calls += [partial(self.set, i.name, InstanceState.DELETING) for i in actions.delete]
        calls += [partial(self.nodes.pop, name, None) for name in actions.remove_nodes]
        for call in calls[:limit]:
            call()

    def set(self, name: str, state: InstanceState) -> None:
        if found := self.instances.get(name):
            running = state is InstanceState.RUNNING
            node_name = name if running else found.node_name
            self.instances[name] = found.model_copy(update={"state": state, "node_name": node_name})

    def launch(self, name: str) -> None:
        if (found := self.instances.get(name)) and found.state is InstanceState.CREATING:
            self.set(name, InstanceState.RUNNING)

    def join(self, name: str) -> None:
        found = self.instances.get(name)
        if found and found.state is InstanceState.RUNNING:
            wanted = demand(uid=found.owner.uid)
            labels = demanded_labels(wanted, simulated=False)
            self.nodes[name] = NodeFacts(
                name=name, owner=found.owner, labels=labels, taints=wanted.taints, ready=True, created_at=self.now
            )

    def finish_delete(self, name: str) -> None:
        if (found := self.instances.get(name)) and found.state is InstanceState.DELETING:
            del self.instances[name]

    def settle(self) -> None:
        """All that is under way comes to its end; the joined nodes stay until somebody removes them."""
        for name in list(self.instances):
            self.finish_delete(name)
            self.launch(name)
            self.join(name)

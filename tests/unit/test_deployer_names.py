"""A Workspace takes no name from what is not its own, and leaves alone what somebody else has made."""

from __future__ import annotations

import re
from copy import deepcopy
from typing import cast

import pytest

from services.chassis.bus import Bus
from services.chassis.kube import (
    CONFIGMAPS,
    JOBS,
    SERVICES,
    STATEFULSETS,
    Conflict,
    Invalid,
    JsonObject,
    KubeClient,
    ObjectList,
    ObjectRef,
    Resource,
    dig_dict,
    dig_dicts,
    dig_str,
)
from services.chassis.settle import Outdated
from services.contracts import subjects
from services.contracts.messages import Report
from services.contracts.plan import Plan
from services.contracts.subjects import ServiceName
from services.contracts.workspace import LABEL_OWNER_UID
from services.deployer.deployer import Deployer
from services.deployer.manifests import Images
from services.deployer.report import released
from tests.unit.samples import plan, plan_state
from tests.unit.test_deployer_tuning import tuned
from tests.unit.watcher_fakes import FakeBus, merged

_KINDS = {resource.kind: resource for resource in (CONFIGMAPS, JOBS, SERVICES, STATEFULSETS)}

TAKEN = [
    (SERVICES, "w", plan()),
    (SERVICES, "w-headless", plan()),
    (STATEFULSETS, "w", plan()),
    (CONFIGMAPS, "w-adapters", plan(adapters=("a",))),
    (JOBS, "w", tuned()),
]


class Cluster:
    """An API server in memory, as far as the deployer writes to it."""

    def __init__(self) -> None:
        self.objects: dict[ObjectRef, JsonObject] = {}
        self.made: list[ObjectRef] = []

    async def get(self, ref: ObjectRef) -> JsonObject | None:
        return deepcopy(self.objects.get(ref))

    async def list(self, resource: Resource, **_: object) -> ObjectList:
        """Of the Services those without an owner, which is what is asked for."""
        found = [obj for ref, obj in self.objects.items() if ref.resource == resource == SERVICES]
        owned = [dig_str(obj, "metadata", "labels", LABEL_OWNER_UID) for obj in found]
        return ObjectList([deepcopy(obj) for obj, owner in zip(found, owned, strict=True) if not owner], "1")

    async def create(self, resource: Resource, obj: JsonObject, *, manager: str) -> JsonObject:
        ref = ObjectRef.of(resource, obj)
        if ref in self.objects:
            raise Conflict(409, "AlreadyExists", str(ref))
        self.made.append(ref)
        entry = {"manager": manager, "operation": "Update"}
        return self.put(ref, obj | {"metadata": dig_dict(obj, "metadata") | {"managedFields": [entry]}})

    async def apply(self, obj: JsonObject, *, manager: str) -> JsonObject:
        ref = ObjectRef.of(_KINDS[dig_str(obj, "kind")], obj)
        assert manager
        return self.put(ref, cast(JsonObject, merged(self.objects.get(ref), obj)))

    async def merge_patch(self, ref: ObjectRef, patch: JsonObject) -> JsonObject:
        return self.put(ref, cast(JsonObject, merged(self.objects[ref], patch)))

    async def delete(self, ref: ObjectRef, *, uid: str) -> bool:
        assert uid == dig_str(self.objects[ref], "metadata", "uid")
        del self.objects[ref]
        return True

    def put(self, ref: ObjectRef, obj: JsonObject) -> JsonObject:
        known = dig_dict(self.objects.get(ref) or {}, "metadata")
        obj["metadata"] = {"uid": f"uid of {ref}"} | known | dig_dict(obj, "metadata")
        self.objects[ref] = deepcopy(obj)
        return obj


def somebodys(ref: ObjectRef, **labels: str) -> JsonObject:
    metadata: JsonObject = {"name": ref.name, "namespace": ref.namespace, "uid": "theirs", "labels": labels}
    return {"kind": ref.resource.kind, "metadata": metadata, "spec": {"selector": {"app": "database"}}}


class Scene:
    """A deployer, what its cluster has, and what it reports."""

    def __init__(self) -> None:
        self.cluster, self.bus = Cluster(), FakeBus([])
        self.deployer = Deployer(cast(KubeClient, self.cluster), cast(Bus, self.bus), Images("i"), None)

    async def carries_out(self, made: Plan, *, retired: bool = False) -> None:
        state = plan_state(made, retired=retired)
        self.bus.put(state)
        await self.deployer.on_plan(state)

    async def told(self) -> str:
        report = await self.bus.newest(Report, subjects.report(ServiceName.DEPLOYER, "team", "w"))
        return report.conditions[0].message if report else ""


@pytest.mark.parametrize(("resource", "name", "made"), TAKEN, ids=[f"{r.kind} {name}" for r, name, _ in TAKEN])
async def test_what_somebody_else_has_is_neither_changed_nor_deleted(resource: Resource, name: str, made: Plan) -> None:
    scene, ref = Scene(), ObjectRef(resource, name, "team")
    scene.cluster.objects[ref] = somebodys(ref)
    await scene.carries_out(made)
    assert scene.cluster.objects[ref] == somebodys(ref)
    assert scene.cluster.made == [], "a workload that gets no Service is not started"
    assert re.search(f"{resource.kind} {name} is not of this Workspace.*Rename one of the two", await scene.told())
    await scene.carries_out(made, retired=True)
    assert scene.cluster.objects == {ref: somebodys(ref)}


@pytest.mark.parametrize(("resource", "name", "made"), TAKEN, ids=[f"{r.kind} {name}" for r, name, _ in TAKEN])
async def test_an_earlier_workspaces_makes_room(resource: Resource, name: str, made: Plan) -> None:
    scene, ref = Scene(), ObjectRef(resource, name, "team")
    scene.cluster.objects[ref] = somebodys(ref, **{LABEL_OWNER_UID: "earlier"})
    await scene.carries_out(made)
    assert ref not in scene.cluster.objects
    await scene.carries_out(made)
    assert dig_str(scene.cluster.objects[ref], "metadata", "labels", LABEL_OWNER_UID) == plan_state().uid


class TakesTheName(Cluster):
    """Somebody makes a Service of the name while the workload starts."""

    async def create(self, resource: Resource, obj: JsonObject, *, manager: str) -> JsonObject:
        if resource == STATEFULSETS:
            ref = ObjectRef(SERVICES, "w", "team")
            self.objects[ref] = somebodys(ref)
        return await super().create(resource, obj, manager=manager)


async def test_a_service_that_is_made_in_between_is_not_taken_either() -> None:
    scene, ref = Scene(), ObjectRef(SERVICES, "w", "team")
    scene.cluster = TakesTheName()
    scene.deployer = Deployer(cast(KubeClient, scene.cluster), cast(Bus, scene.bus), Images("i"), None)
    await scene.carries_out(plan())
    assert scene.cluster.objects[ref] == somebodys(ref)
    await scene.carries_out(plan())
    assert "Service w is not of this Workspace" in await scene.told()


class AnotherReports(Cluster):
    """Another deployer reports while this one is refused."""

    def __init__(self, bus: FakeBus) -> None:
        super().__init__()
        self._bus = bus

    async def create(self, resource: Resource, obj: JsonObject, *, manager: str) -> JsonObject:
        self._bus.put(released(plan_state()))
        raise Invalid(422, "Invalid", "it is refused")


async def test_a_refusal_does_not_hide_what_another_deployer_has_reported_since() -> None:
    bus = FakeBus([])
    deployer = Deployer(cast(KubeClient, AnotherReports(bus)), cast(Bus, bus), Images("i"), None)
    bus.put(plan_state())
    with pytest.raises(Outdated):
        await deployer.on_plan(plan_state())
    assert bus.published == []


async def test_what_is_its_own_follows_the_plan() -> None:
    scene, ref = Scene(), ObjectRef(SERVICES, "w", "team")
    await scene.carries_out(plan())
    assert dig_str(scene.cluster.objects[ref], "spec", "type") == "ClusterIP"
    await scene.carries_out(plan(2, load_balancer=True))
    assert dig_str(scene.cluster.objects[ref], "spec", "type") == "LoadBalancer"
    (entry,) = dig_dicts(scene.cluster.objects[ref], "metadata", "managedFields")
    assert entry["operation"] == "Apply", "else what a later plan leaves out would stay"

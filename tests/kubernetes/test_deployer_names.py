"""A Workspace on a real API server that is named as what somebody else has there."""

from __future__ import annotations

import pytest

from services.chassis.kube import SERVICES, STATEFULSETS, JsonObject, ObjectRef, dig, dig_dicts, dig_str
from services.contracts.conditions import Reason
from services.deployer.app import wire
from tests.integration.conftest import NatsServer
from tests.kubernetes.deployer_fixtures import Planner, plan, planner
from tests.kubernetes.service_fixtures import bus, client, crd, eventually, namespace, nats_server, running

__all__ = ["bus", "client", "crd", "namespace", "nats_server", "planner"]

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.usefixtures("crd")]

SELECTOR = {"app": "database"}


def a_service(planner: Planner, name: str) -> JsonObject:
    return {
        "apiVersion": "v1", "kind": "Service",
        "metadata": {"name": name, "namespace": planner.namespace},
        "spec": {"selector": SELECTOR, "ports": [{"port": 5432, "protocol": "TCP"}]},
    }  # fmt: skip


def a_stateful_set(planner: Planner, name: str) -> JsonObject:
    pod: JsonObject = {"metadata": {"labels": SELECTOR}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    return {
        "apiVersion": "apps/v1", "kind": "StatefulSet",
        "metadata": {"name": name, "namespace": planner.namespace},
        "spec": {"replicas": 0, "selector": {"matchLabels": SELECTOR}, "serviceName": "other", "template": pod},
    }  # fmt: skip


async def test_what_somebody_else_has_stays_as_it_is_and_the_name_can_be_given_free(
    planner: Planner, nats_server: NatsServer
) -> None:
    theirs = [
        (SERVICES, a_service(planner, "w")),
        (SERVICES, a_service(planner, "w-headless")),
        (STATEFULSETS, a_stateful_set(planner, "w")),
    ]
    made = [await planner.client.create(resource, obj) for resource, obj in theirs]

    async def told(words: str) -> bool:
        report = await planner.reported(Reason.WORKLOAD_REFUSED)
        return report is not None and words in report.conditions[0].message

    for revision, obj in enumerate(made, 1):
        resource = theirs[revision - 1][0]
        ref = ObjectRef.of(resource, obj)
        async with running("deployer", wire, nats_server):
            await planner.publish(plan(revision))
            await eventually(lambda ref=ref: told(f"{ref.resource.kind} {ref.name} is not of this Workspace"))  # type: ignore[misc]
        found = await planner.client.get(ref)
        assert dig(found, "spec") == dig(obj, "spec")
        assert dig(found, "metadata", "labels") is None
        await planner.client.delete(ref, uid=dig_str(obj, "metadata", "uid"))
    async with running("deployer", wire, nats_server):
        await planner.publish(plan(9))
        await eventually(planner.has_its_services)


async def test_a_service_that_was_made_is_applied_to_from_the_second_plan_on(
    planner: Planner, nats_server: NatsServer
) -> None:
    async with running("deployer", wire, nats_server):
        await planner.publish(plan())
        await eventually(planner.has_its_services)
        await planner.publish(plan(2, load_balancer=True))
        service = ObjectRef(SERVICES, "w", planner.namespace)

        async def balanced() -> bool:
            return dig(await planner.client.get(service), "spec", "type") == "LoadBalancer"

        await eventually(balanced)
        entries = dig_dicts(await planner.client.get(service), "metadata", "managedFields")
        ours = [entry["operation"] for entry in entries if entry["manager"] == "kaitobus-deployer"]
        assert ours == ["Apply"], "else what a later plan leaves out would stay"

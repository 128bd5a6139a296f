"""The deployer on a real API server, controller-manager and scheduler, and a real nats-server."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from services.chassis.kube import PODS, JsonObject, KubeClient, ObjectRef, dig, dig_dicts, dig_str
from services.chassis.lull import Lull
from services.contracts import subjects
from services.contracts.conditions import Reason
from services.contracts.messages import PlanState, Report
from services.contracts.plan import Workload
from services.contracts.subjects import ServiceName
from services.deployer import leftovers
from services.deployer.app import wire
from services.deployer.deployer import Deployer
from services.deployer.manifests import Images
from tests.integration.conftest import NatsServer
from tests.kubernetes.deployer_fixtures import Planner, node, on_a_node, plan, planner, replicas, set_pod
from tests.kubernetes.service_fixtures import (
    always,
    bus,
    client,
    crd,
    eventually,
    namespace,
    nats_server,
    newest,
    running,
)

__all__ = ["bus", "client", "crd", "namespace", "nats_server", "node", "planner"]

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.usefixtures("crd")]


async def test_a_plan_becomes_objects_and_a_report(planner: Planner, nats_server: NatsServer) -> None:
    async with running("deployer", wire, nats_server):
        await planner.publish(plan())
        found = await eventually(planner.stateful_set)
        assert dig(found, "spec", "replicas") == 1
        await eventually(planner.has_its_services)
        report = await eventually(lambda: planner.reported(Reason.INFERENCE_PENDING_NODES))
        assert report is not None
        assert (report.uid, report.plan_revision, report.endpoint) == (planner.uid, 1, None)
        assert "waits for its node" in report.conditions[0].message


async def test_a_pod_is_followed_until_it_serves_and_when_it_does_not_any_more(
    planner: Planner, nats_server: NatsServer, node: str
) -> None:
    async with running("deployer", wire, nats_server):
        await planner.publish(plan())
        await eventually(lambda: on_a_node(planner))
        await set_pod(
            planner,
            "w-0",
            {
                "phase": "Running",
                "containerStatuses": [
                    {
                        "name": "inference", "image": "i", "imageID": "", "restartCount": 2, "ready": False,
                        "state": {"waiting": {"reason": "CrashLoopBackOff"}},
                        "lastState": {"terminated": {"exitCode": 1, "message": "no such model"}},
                    }
                ],
            },
        )  # fmt: skip
        crashed = await eventually(lambda: planner.reported(Reason.CONTAINER_CRASH_LOOP))
        assert crashed is not None
        assert "no such model" in crashed.conditions[0].message
        await set_pod(planner, "w-0", {"conditions": [{"type": "Ready", "status": "True"}], "containerStatuses": []})
        ready = await eventually(lambda: planner.reported(Reason.INFERENCE_READY))
        assert ready is not None
        assert ready.endpoint == f"http://w.{planner.namespace}.svc.cluster.local"
        await planner.client.delete(ObjectRef(PODS, "w-0", planner.namespace), grace_seconds=0)
        await eventually(lambda: not_serving(planner))


async def not_serving(planner: Planner) -> bool:
    report = await planner.report()
    return report is not None and report.endpoint is None


async def test_a_retired_plan_takes_all_down_and_says_so_when_no_pod_is_left(
    planner: Planner, nats_server: NatsServer
) -> None:
    async with running("deployer", wire, nats_server):
        await planner.publish(plan())
        await eventually(planner.pods)
        await eventually(planner.has_its_services)
        await planner.publish(plan(), retired=True)
        await eventually(planner.released)
        assert await planner.pods() == []
        assert await planner.stateful_set() is None
        assert await planner.services() == set()
        await always(planner.released, 1)


async def test_of_a_pod_that_takes_long_to_end_it_is_told_which_and_on_what_node(
    planner: Planner, nats_server: NatsServer, node: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leftovers, "SLOW", timedelta())

    async def bound() -> bool:
        return [dig_str(pod, "spec", "nodeName") for pod in await planner.pods()] == [node]

    async def told() -> bool:
        found = await planner.report()
        return found is not None and f"pod w-0 on node {node}, which was told to end at" in (found.next_step or "")

    async with running("deployer", wire, nats_server):
        await planner.publish(plan())
        await eventually(bound)
        await planner.publish(plan(), retired=True)
        await eventually(told)  # nobody on that node ends it
        assert not await planner.released()
        await planner.client.delete(ObjectRef(PODS, "w-0", planner.namespace), grace_seconds=0)
        await eventually(planner.released)


async def test_a_newer_plan_changes_the_workload(planner: Planner, nats_server: NatsServer) -> None:
    async with running("deployer", wire, nats_server):
        await planner.publish(plan())
        await eventually(planner.stateful_set)
        await planner.publish(plan(2, nodes=2))
        await eventually(lambda: replicas(planner, 2))

        async def of_the_newer() -> bool:
            report = await planner.report()
            return report is not None and report.plan_revision == 2

        await eventually(of_the_newer)


async def test_what_the_api_server_refuses_is_reported_in_its_words(planner: Planner, nats_server: NatsServer) -> None:
    bad: JsonObject = {"spec": {"containers": [{"name": "Not_A_Name", "image": "i"}]}}
    async with running("deployer", wire, nats_server):
        await planner.publish(plan(workload=Workload.TEMPLATE, template=bad))
        report = await eventually(lambda: planner.reported(Reason.WORKLOAD_REFUSED))
        assert report is not None
        assert "Not_A_Name" in report.conditions[0].message


async def test_a_template_of_the_users_own_runs_on_the_nodes_of_the_plan(
    planner: Planner, nats_server: NatsServer, node: str
) -> None:
    own: JsonObject = {
        "spec": {"containers": [{"name": "own", "image": "own:1", "env": [{"name": "A", "value": "1"}]}]}
    }
    async with running("deployer", wire, nats_server):
        await planner.publish(plan(workload=Workload.TEMPLATE, template=own))
        await eventually(lambda: on_a_node(planner))
        (pod,) = await planner.pods()
        assert dig_str(pod, "spec", "nodeName") == node
        assert dig(dig_dicts(pod, "spec", "containers")[0], "env") == [{"name": "A", "value": "1"}]


async def test_what_was_seen_before_a_workload_went_does_not_hide_that_it_is_gone(
    planner: Planner, client: KubeClient
) -> None:
    """A look that takes long, since the log of a crashed pod does not come, while the workspace is deleted."""
    deployer = Deployer(client, planner.bus, Images("i"), None)
    state = await planner.publish(plan())
    await eventually(lambda: newest(planner.bus, PlanState, state.subject))
    last = await planner.bus.last(Report, subjects.report(ServiceName.DEPLOYER, planner.namespace, "w"))
    retired = await planner.publish(plan(), retired=True)
    await eventually(lambda: is_newest(planner, retired))
    assert await deployer.on_plan(retired) is None
    assert await planner.bus.last(Report, subjects.report(ServiceName.DEPLOYER, planner.namespace, "w")) != last
    assert await deployer.look(planner.namespace, "w") is None

    async def carried_out() -> bool:
        return await deployer.on_plan(state) is None  # redelivered late: what counts is the newest

    await eventually(carried_out)
    assert await eventually(planner.released)


class Burst(Lull):
    """A burst of Workspaces: who waits for the lull after it waits until `over` is set."""

    def __init__(self) -> None:
        super().__init__(quiet=0, at_most=0)
        self.over = asyncio.Event()

    async def wait(self) -> None:
        await self.over.wait()


async def test_no_services_are_made_for_one_that_went_while_they_waited(
    planner: Planner, client: KubeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    burst = Burst()
    monkeypatch.setattr("services.deployer.deployer.Lull", lambda **_: burst)
    deployer = Deployer(client, planner.bus, Images("i"), None)
    state = await planner.publish(plan())
    await eventually(lambda: is_newest(planner, state))
    deploying = asyncio.create_task(deployer.on_plan(state))
    await eventually(planner.stateful_set)
    await planner.bus.forget(PlanState, state.subject, state.uid)
    burst.over.set()
    await deploying
    assert await planner.services() == set()


async def is_newest(planner: Planner, state: PlanState) -> bool:
    return await newest(planner.bus, PlanState, state.subject) == state

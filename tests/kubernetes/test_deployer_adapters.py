"""Adapters on a real API server: the list that a pod mounts, and the condition that its server's words become."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from aiohttp import web
from aiohttp.test_utils import TestServer

from services.chassis.kube import CONFIGMAPS, PODS, JsonObject, ObjectRef, dig, dig_str
from services.contracts.adapters import PlannedAdapter, PlannedLora
from services.contracts.conditions import Condition, ConditionType, Reason
from services.contracts.plan import Plan
from services.deployer.adapters import adapter_list, list_revision
from services.deployer.app import wire
from services.deployer.ask import LOCAL_PORTS
from services.deployer.list_adapters import ANNOTATION
from tests.integration.conftest import NatsServer
from tests.kubernetes.deployer_fixtures import Planner, node, on_a_node, plan, planner, set_pod
from tests.kubernetes.service_fixtures import bus, client, crd, eventually, namespace, nats_server, running
from tests.unit.samples import lora

__all__ = ["bus", "client", "crd", "namespace", "nats_server", "node", "planner"]

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.usefixtures("crd")]


def adapted(revision: int, planned: PlannedLora) -> Plan:
    return plan(revision, lora=planned)


async def config_map(planner: Planner) -> JsonObject | None:
    return await planner.client.get(ObjectRef(CONFIGMAPS, "w-adapters", planner.namespace))


async def listed(planner: Planner) -> list[str]:
    """The names in the list; none where there is no list."""
    text = dig_str(await config_map(planner), "data", "adapters.json")
    return [adapter["name"] for adapter in json.loads(text)["adapters"]] if text else []


async def names_are(planner: Planner, *names: str) -> bool:
    return await listed(planner) == list(names)


async def adapters_ready(planner: Planner) -> Condition | None:
    report = await planner.report()
    return next((c for c in report.conditions if c.type is ConditionType.ADAPTERS_READY), None) if report else None


async def test_the_list_changes_and_the_pod_does_not(planner: Planner, nats_server: NatsServer) -> None:
    async with running("deployer", wire, nats_server):
        await planner.publish(adapted(1, lora("a")))
        before = await eventually(planner.stateful_set)
        assert await listed(planner) == ["a"]  # it is there before the pod that mounts it
        for revision, names in enumerate((("a", "b"), ("b",), ()), start=2):
            await planner.publish(adapted(revision, lora(*names)))
            await eventually(lambda names=names: names_are(planner, *names))  # type: ignore[misc]
        after = await planner.stateful_set()
        assert dig(after, "metadata", "generation") == dig(before, "metadata", "generation")


async def test_a_new_mount_changes_the_pod(planner: Planner, nats_server: NatsServer) -> None:
    secret = PlannedAdapter(name="b", image="r.io/b:1", pull_secrets=("reg",))
    async with running("deployer", wire, nats_server):
        await planner.publish(adapted(1, lora("a")))
        await eventually(planner.stateful_set)
        await planner.publish(adapted(2, PlannedLora(adapters=(*lora("a").adapters, secret), pull_secrets=("reg",))))

        async def mounted() -> bool:
            return "adapter-secret-0" in json.dumps(await planner.stateful_set())

        await eventually(mounted)


async def test_a_list_that_somebody_deletes_is_written_again(planner: Planner, nats_server: NatsServer) -> None:
    async with running("deployer", wire, nats_server):
        await planner.publish(adapted(1, lora("a")))
        await eventually(lambda: on_a_list(planner))
        await eventually(planner.has_its_services)
        await planner.client.delete(ObjectRef(CONFIGMAPS, "w-adapters", planner.namespace))
        await eventually(lambda: on_a_list(planner))


async def on_a_list(planner: Planner) -> bool:
    return bool(await listed(planner))


async def test_a_config_map_of_somebody_else_is_not_touched(planner: Planner, nats_server: NatsServer) -> None:
    mine: JsonObject = {
        "apiVersion": "v1", "kind": "ConfigMap", "data": {"mine": "yes"},
        "metadata": {"name": "w-adapters", "namespace": planner.namespace},
    }  # fmt: skip
    await planner.client.apply(mine, manager="me")
    async with running("deployer", wire, nats_server):
        await planner.publish(adapted(1, lora("a")))
        report = await eventually(lambda: planner.reported(Reason.WORKLOAD_REFUSED))
        assert report is not None
        assert "ConfigMap w-adapters is not of this Workspace" in report.conditions[0].message
        assert dig(await config_map(planner), "data") == {"mine": "yes"}
        await planner.publish(adapted(1, lora("a")), retired=True)
        await eventually(planner.released)
        assert dig(await config_map(planner), "data") == {"mine": "yes"}


async def test_the_list_goes_with_the_workload(planner: Planner, nats_server: NatsServer) -> None:
    async with running("deployer", wire, nats_server):
        await planner.publish(adapted(1, lora("a")))
        await eventually(planner.stateful_set)
        await planner.publish(adapted(1, lora("a")), retired=True)
        await eventually(planner.released)
        assert await config_map(planner) is None


class Server:
    """What a pod's server tells of its adapters."""

    def __init__(self) -> None:
        self.told: JsonObject = {}
        app = web.Application()
        app.router.add_get("/adapters", self._tell)
        self.server = TestServer(app, host="127.0.0.1")

    async def _tell(self, _: web.Request) -> web.Response:
        return web.json_response(self.told)

    def tell(self, planner: Planner, planned: Plan, *adapters: JsonObject) -> None:
        text = adapter_list(planner.state(planned))
        assert text is not None
        self.told = {"revision": list_revision(text), "adapters": list(adapters)}


@pytest_asyncio.fixture(loop_scope="session")
async def server(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Server]:
    made = Server()
    await made.server.start_server()
    monkeypatch.setenv("KAITOBUS_LOCAL_PORTS", "true")
    yield made
    await made.server.close()


async def test_each_adapters_state_is_told_as_it_changes_while_the_model_is_ready(
    planner: Planner, nats_server: NatsServer, node: str, server: Server
) -> None:
    async with running("deployer", wire, nats_server):
        one = adapted(1, lora("good"))
        await planner.publish(one)
        await eventually(lambda: on_a_node(planner))
        pod = ObjectRef(PODS, "w-0", planner.namespace)
        ports = {LOCAL_PORTS: json.dumps({"5000": server.server.port})}
        await planner.client.merge_patch(pod, {"metadata": {"annotations": ports}})
        await set_pod(planner, "w-0", {"conditions": [{"type": "Ready", "status": "True"}]})
        await eventually(lambda: says(planner, Reason.ADAPTERS_LOADING, "has not read this list yet"))
        server.tell(planner, one, {"name": "good", "state": "ready", "rank": 8, "strength": 1.0})
        await eventually(lambda: says(planner, Reason.ADAPTERS_READY, "good is served (rank 8, strength 1)."))

        two = adapted(2, lora("good", "bad"))
        await planner.publish(two)
        await eventually(lambda: says(planner, Reason.ADAPTERS_LOADING, "has not read this list yet"))
        failed: JsonObject = {
            "name": "bad",
            "state": "failed",
            "reason": "It was made for org/x, and org/y is served here.",
        }
        server.tell(planner, two, {"name": "good", "state": "ready"}, failed)
        await eventually(lambda: says(planner, Reason.ADAPTER_NOT_LOADED, "bad is not loaded: It was made for org/x"))
        report = await planner.reported(Reason.INFERENCE_READY)
        assert report is not None
        assert report.endpoint


async def says(planner: Planner, reason: Reason, words: str) -> bool:
    found = await adapters_ready(planner)
    return found is not None and found.reason == reason and words in found.message


async def test_a_pods_node_is_told_of_a_new_list(planner: Planner, nats_server: NatsServer, node: str) -> None:
    async with running("deployer", wire, nats_server):
        for revision, names in enumerate((("a",), ("a", "b")), start=1):
            wanted = adapted(revision, lora(*names))
            await planner.publish(wanted)
            text = adapter_list(planner.state(wanted))
            assert text is not None

            async def annotated(wanted: str = list_revision(text)) -> bool:
                pods = await planner.pods()
                return any(dig_str(pod, "metadata", "annotations", ANNOTATION) == wanted for pod in pods)

            await eventually(annotated)

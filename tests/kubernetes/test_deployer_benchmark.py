"""A server's benchmark on a real API server: the wish reaches the pod, the figures the report; Ready comes first."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from aiohttp import web
from aiohttp.test_utils import TestServer

from services.chassis.kube import PODS, JsonObject, ObjectRef, dig, dig_str
from services.contracts.conditions import Condition, ConditionType, Reason
from services.contracts.plan import Plan
from services.contracts.serving import Serving
from services.deployer.app import wire
from services.deployer.ask import LOCAL_PORTS
from tests.integration.conftest import NatsServer
from tests.kubernetes.deployer_fixtures import Planner, node, on_a_node, plan, planner, set_pod
from tests.kubernetes.service_fixtures import bus, client, crd, eventually, namespace, nats_server, running
from tests.unit.test_benchmark_result import result

__all__ = ["bus", "client", "crd", "namespace", "nats_server", "node", "planner"]

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.usefixtures("crd")]

WISH = "kaito.sh/benchmark"


def wished(revision: int, wish: str | None) -> Plan:
    return plan(revision, serving=Serving(benchmark=wish))


class Server:
    """A pod's server, with what it tells of its benchmark. `planner` is whose report is looked at when it is asked."""

    def __init__(self) -> None:
        self.told: JsonObject = {"state": "waiting", "message": "Not yet.", "wish": "idle", "result": None}
        self.planner: Planner | None = None
        self.asked_before_ready = False
        app = web.Application()
        app.router.add_get("/kaitobus/benchmark", self._tell)
        self.server = TestServer(app, host="127.0.0.1")

    async def _tell(self, _: web.Request) -> web.Response:
        if self.planner and not await self.planner.reported(Reason.INFERENCE_READY):
            self.asked_before_ready = True
        return web.json_response(self.told)


@pytest_asyncio.fixture(loop_scope="session")
async def server(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Server]:
    made = Server()
    await made.server.start_server()
    monkeypatch.setenv("KAITOBUS_LOCAL_PORTS", "true")
    yield made
    await made.server.close()


async def benchmark(planner: Planner) -> Condition | None:
    report = await planner.report()
    conditions = report.conditions if report else ()
    return next((c for c in conditions if c.type is ConditionType.BENCHMARK_COMPLETED), None)


async def says(planner: Planner, reason: Reason, words: str = "") -> bool:
    found = await benchmark(planner)
    return found is not None and found.reason == reason and words in found.message


async def wish_of_the_pod(planner: Planner) -> str:
    pod = await planner.client.get(ObjectRef(PODS, "w-0", planner.namespace))
    return dig_str(pod, "metadata", "annotations", WISH)


async def test_ready_comes_first_then_how_the_benchmark_stands_then_its_figures(
    planner: Planner, nats_server: NatsServer, node: str, server: Server
) -> None:
    server.planner = planner
    async with running("deployer", wire, nats_server):
        await planner.publish(wished(1, None))
        await eventually(lambda: on_a_node(planner))
        ports = {LOCAL_PORTS: json.dumps({"5000": server.server.port})}
        await planner.client.merge_patch(
            ObjectRef(PODS, "w-0", planner.namespace), {"metadata": {"annotations": ports}}
        )
        await set_pod(planner, "w-0", {"conditions": [{"type": "Ready", "status": "True"}]})
        await eventually(lambda: says(planner, Reason.BENCHMARK_PENDING, "Not yet."))
        assert not server.asked_before_ready
        assert await wish_of_the_pod(planner) == "idle"
        before = dig(await planner.stateful_set(), "metadata", "generation")

        await planner.publish(wished(2, "now"))
        await eventually(lambda: says(planner, Reason.BENCHMARK_PENDING, f"has not read yet that {WISH} is now"))
        assert await wish_of_the_pod(planner) == "now"
        server.told = {"state": "done", "message": "", "wish": "now", "result": result().model_dump(mode="json")}
        await eventually(lambda: says(planner, Reason.BENCHMARK_COMPLETED, "720 tokens"))
        report = await planner.report()
        assert report is not None
        assert report.endpoint
        assert report.performance is not None
        peak = report.performance.metrics["peakTokensPerMinute"]
        assert (peak.value, peak.unit) == ("720", "tokens/min")
        assert report.performance.metrics["timeToFirstTokenP90"].unit == "ms"

        await planner.publish(wished(3, None))

        async def idle() -> bool:
            return await wish_of_the_pod(planner) == "idle"

        await eventually(idle)
        assert dig(await planner.stateful_set(), "metadata", "generation") == before  # the server went on all the time

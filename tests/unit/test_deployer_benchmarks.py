"""How often a pod is asked of its benchmark, and written to."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from services.chassis.kube import Forbidden, JsonObject, KubeClient, ObjectRef
from services.contracts.messages import PlanState
from services.contracts.serving import Serving
from services.deployer.ask import LOCAL_PORTS
from services.deployer.benchmarks import IF_SILENT, SOON, WHILE_WAITING, Benchmarks
from services.deployer.pods import Pod
from services.deployer.report import Observed, to_report
from tests.unit.samples import plan, plan_state, pod


class Server:
    """Tells that it waits, and which wish it has read."""

    def __init__(self) -> None:
        self.wish = ""
        app = web.Application()
        app.router.add_get("/kaitobus/benchmark", self._tell)
        self.server = TestServer(app, host="127.0.0.1")

    async def _tell(self, _: web.Request) -> web.Response:
        return web.json_response({"state": "waiting", "message": "Not yet.", "wish": self.wish})

    def pod(self, name: str = "w-0") -> Pod:
        ready = pod(name, ready=True)
        annotations = {LOCAL_PORTS: json.dumps({"5000": self.server.port})}
        return ready.model_copy(update={"metadata": ready.metadata.model_copy(update={"annotations": annotations})})


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    made = Server()
    await made.server.start_server()
    yield made
    await made.server.close()


class NoWrites(KubeClient):
    """An API server that lets nobody write to pods."""

    def __init__(self) -> None:
        """Without a connection, since none is needed to refuse."""

    async def merge_patch(self, ref: ObjectRef, patch: JsonObject, *, subresource: str | None = None) -> JsonObject:
        raise Forbidden(403, "Forbidden", f"{ref} may not be patched")


def wished(wish: str | None) -> PlanState:
    return plan_state(plan().model_copy(update={"serving": Serving(benchmark=wish)}))


async def test_where_pods_may_not_be_written_to_it_is_tried_ever_more_rarely(server: Server) -> None:
    now = 0.0
    benchmarks, pods = Benchmarks(NoWrites(), local=True, clock=lambda: now), (server.pod(),)
    ready = to_report(wished(None), Observed(pods=pods))

    async def look(wish: str | None) -> float | None:
        await benchmarks.of(wished(wish), pods, ready)
        return benchmarks.again(wished(wish))

    waits = []
    for _ in range(10):
        waits.append(await look(None) or 0.0)
        now += waits[-1]
    assert waits[:4] == [SOON, SOON, 2 * SOON, 4 * SOON]
    assert waits[-1] == IF_SILENT
    assert await look("now") == SOON  # another wish is news
    server.wish = "now"
    assert await look("now") == WHILE_WAITING
    assert await look(None) == SOON


async def test_only_the_pod_that_the_service_leads_to_is_asked(server: Server) -> None:
    benchmarks = Benchmarks(NoWrites(), local=True)
    ready = to_report(wished(None), Observed(pods=(server.pod(),)))
    assert await benchmarks.of(wished(None), (server.pod("w-1"),), ready) is None
    assert await benchmarks.of(wished(None), (pod("w-0"), server.pod("w-1")), ready) is None
    assert await benchmarks.of(wished(None), (server.pod("w-1"), server.pod()), ready) is not None


def test_the_default_holds_for_a_workspace_that_says_nothing() -> None:
    off = Benchmarks(NoWrites(), default="off")
    said = {wish: off.wished(wished(wish)).plan.serving.benchmark_wish for wish in (None, "idle", "now", "off")}
    assert said == {None: "off", "idle": "idle", "now": "now", "off": "off"}
    assert Benchmarks(NoWrites()).wished(wished(None)).plan.serving.benchmark_wish == "idle"

"""The deployer asks a pod what its engine measured: once, briefly, and whatever the pod answers."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import ClassVar

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from prometheus_client import CollectorRegistry

from services.contracts.plan import Prediction
from services.deployer.ask import LOCAL_PORTS, address_of
from services.deployer.engine_memory import MOST_TRIES, EngineMemories
from services.deployer.pods import Pod
from tests.unit.samples import plan, plan_state, pod

STATE = plan_state(
    plan().model_copy(
        update={
            "prediction": Prediction(weights_gib=7, activation_gib=1, kv_cache_gib=60, kv_tokens=400_000, total_gib=79)
        }
    )
)


class Engine:
    """A server in a pod, with its answer."""

    right: ClassVar[dict[str, float | None]] = {"weights_gib": 7.2, "graphs_gib": None, "kv_tokens": 410_000}

    def __init__(self) -> None:
        self.answer: object = self.right
        self.asked = 0
        app = web.Application()
        app.router.add_get("/kaitobus/memory", self._tell)
        self.server = TestServer(app, host="127.0.0.1")

    async def _tell(self, _: web.Request) -> web.Response:
        self.asked += 1
        if isinstance(self.answer, int):
            return web.Response(status=self.answer, headers={"Location": "/kaitobus/memory"})
        if isinstance(self.answer, str):
            return web.Response(text=self.answer)
        return web.json_response(self.answer)

    def pod(self) -> Pod:
        ready = pod(ready=True)
        ports = {LOCAL_PORTS: f'{{"5000": {self.server.port}}}'}
        return ready.model_copy(
            update={"metadata": ready.metadata.model_copy(update={"annotations": ports, "uid": "p"})}
        )


@pytest.fixture
async def engine() -> AsyncIterator[Engine]:
    engine = Engine()
    await engine.server.start_server()
    yield engine
    await engine.server.close()


async def test_a_pod_is_asked_once_and_the_error_of_the_plan_is_counted(engine: Engine) -> None:
    registry = CollectorRegistry()
    memories = EngineMemories(registry, local=True)
    for _ in range(3):
        found = await memories.of(STATE, (engine.pod(),))
        assert found is not None
        assert found.metrics["kvCacheTokens"].config == {"planned": "400000", "error": "-2.4%"}
    assert engine.asked == 1
    at_most = registry.get_sample_value("kaitobus_prediction_error_bucket", {"part": "kvCacheTokens", "le": "-0.02"})
    assert at_most == 1
    assert not memories.wants_more(STATE, (engine.pod(),))


@pytest.mark.parametrize(
    "answer",
    [404, 500, 302, "", "[]", "null", '{"weights_gib": -1}', '{"weights_gib": "much"}', '{"weights_gib": NaN}',
     '{"weights_gib": 1e999}', "{}", "x" * 100_000],
)  # fmt: skip
async def test_a_pod_that_does_not_tell_is_asked_a_few_times(engine: Engine, answer: object) -> None:
    engine.answer = answer
    memories = EngineMemories(CollectorRegistry(), local=True)
    for _ in range(MOST_TRIES + 3):
        assert await memories.of(STATE, (engine.pod(),)) is None
    assert engine.asked == MOST_TRIES
    assert not memories.wants_more(STATE, (engine.pod(),))


async def test_a_pod_that_tells_later_is_heard(engine: Engine) -> None:
    engine.answer = 404
    memories = EngineMemories(CollectorRegistry(), local=True)
    assert await memories.of(STATE, (engine.pod(),)) is None
    assert memories.wants_more(STATE, (engine.pod(),))
    engine.answer = Engine.right
    assert await memories.of(STATE, (engine.pod(),)) is not None


async def test_pods_that_are_not_ready_and_simulated_ones_are_not_asked(engine: Engine) -> None:
    memories = EngineMemories(CollectorRegistry(), local=True)
    assert await memories.of(STATE, (pod(ready=False),)) is None
    assert await memories.of(plan_state(plan(simulated=True)), (engine.pod(),)) is None
    assert engine.asked == 0


@pytest.mark.parametrize(("ip", "address"), [("10.0.0.7", "10.0.0.7:5000"), ("fd00::7", "[fd00::7]:5000"), ("", None)])
def test_in_a_cluster_a_pod_has_its_own_address(ip: str, address: str | None) -> None:
    ready = pod(ready=True, status={"podIP": ip} if ip else {})
    assert address_of(ready, local=False) == address


def test_a_pods_annotation_leads_nowhere_in_a_cluster(engine: Engine) -> None:
    assert address_of(engine.pod(), local=False) is None

"""What the deployer makes of a server's benchmark: a condition, figures, and what the pod gets for it."""

from __future__ import annotations

import json

import pytest

from services.chassis.kube import dig_dict, dig_dicts, dig_list
from services.contracts.conditions import ConditionStatus, ConditionType, Reason
from services.contracts.messages import PlanState
from services.contracts.performance import Metric, Performance
from services.contracts.plan import Runtime, Workload
from services.contracts.serving import serving_of
from services.deployer.benchmark import BenchmarkState, BenchmarkTold, benchmark_condition, benchmark_metrics
from services.deployer.manifests import Images, render
from services.deployer.report import Observed, to_report
from services.inference.benchmark.when import State
from tests.unit.samples import plan, plan_state, pod
from tests.unit.test_benchmark_result import result


def told(state: str = "done", wish: str = "idle", *, measured: bool = True) -> BenchmarkTold:
    """As the server tells it."""
    figures = result().model_dump() if measured else None
    body = {"state": state, "message": "In its words.", "wish": wish, "result": figures}
    return BenchmarkTold.model_validate_json(json.dumps(body))


def wished(wish: str | None = None, **changed: object) -> PlanState:
    made = plan()
    serving = made.serving.model_copy(update={"benchmark": wish})
    return plan_state(made.model_copy(update={"serving": serving} | changed))


def on_transformers() -> PlanState:
    engine = plan().engine
    assert engine is not None
    return wished(engine=engine.model_copy(update={"runtime": Runtime.TRANSFORMERS}))


def test_the_figures_are_kaitos_and_latency_beside_them() -> None:
    metrics = benchmark_metrics(told())
    peak = metrics["peakTokensPerMinute"]
    assert (peak.value, peak.unit) == ("720", "tokens/min")
    assert peak.config == {
        "durationSec": "8", "inputTokens": "4", "outputTokens": "5", "maxConcurrency": "4", "engine": "vllm",
        "engineVersion": "0.32.0", "model": "org/m", "revision": "abc", "device": "2 x NVIDIA H100",
        "measuredAt": "2026-01-01T12:00:00+00:00", "complete": "false",
    }  # fmt: skip
    assert metrics["peakOutputTokensPerMinute"].value == "400"
    found = {name: (metric.value, metric.unit) for name, metric in metrics.items() if name.startswith("time")}
    assert found == {
        **{f"timeToFirstTokenP{share}": ("1000", "ms") for share in (50, 90, 99)},
        **{f"timePerOutputTokenP{share}": ("500", "ms") for share in (50, 90, 99)},
    }
    assert benchmark_metrics(told(measured=False)) == benchmark_metrics(None) == {}


@pytest.mark.parametrize(
    ("state", "reason"),
    [("off", Reason.BENCHMARK_OFF), ("waiting", Reason.BENCHMARK_PENDING), ("running", Reason.BENCHMARK_RUNNING),
     ("failed", Reason.BENCHMARK_FAILED)],
)  # fmt: skip
def test_how_it_stands_is_told_in_the_servers_words(state: str, reason: Reason) -> None:
    found = benchmark_condition(wished(), told(state), serving=True)
    assert found is not None
    assert (found.status, found.reason, found.message) == (ConditionStatus.FALSE, reason, "In its words.")


def test_done_tells_the_figures() -> None:
    found = benchmark_condition(wished("now-2"), told(wish="now-2"), serving=True)
    assert found is not None
    assert (found.is_true, found.reason) == (True, Reason.BENCHMARK_COMPLETED)
    assert found.message == (
        "720 tokens of prompts and answers a minute with 4 requests at once, measured 2026-01-01T12:00:00+00:00 on "
        "2 x NVIDIA H100. The time was over before more at once could be tried."
    )


def test_a_wish_that_the_server_has_not_read_is_pending_whatever_it_has_measured() -> None:
    found = benchmark_condition(wished("now-3"), told(wish="now-2"), serving=True)
    assert found is not None
    assert found.reason == Reason.BENCHMARK_PENDING
    assert "has not read yet that kaito.sh/benchmark is now-3" in found.message


def test_a_wish_that_cannot_be_read_is_told_whatever_the_server_says() -> None:
    serving = serving_of({"kaito.sh/benchmark": "of"})
    for said in (None, told(), told("off", "off")):
        found = benchmark_condition(wished(serving=serving), said, serving=True)
        assert found is not None
        assert (found.status, found.reason) == (ConditionStatus.FALSE, Reason.BENCHMARK_WISH_UNREADABLE)
        assert "must be off, idle, now, or now- with a word of letters and digits; it is 'of'" in found.message


def test_a_server_that_is_never_measured_need_not_read_what_is_wished() -> None:
    found = benchmark_condition(wished("now"), told("off", "never", measured=False), serving=True)
    assert found is not None
    assert (found.reason, found.message) == (Reason.BENCHMARK_OFF, "In its words.")
    unread = benchmark_condition(wished(), told("off", "", measured=False), serving=True)
    assert unread is not None
    assert unread.reason == Reason.BENCHMARK_PENDING


def test_there_is_nothing_to_tell_of_what_does_not_serve_or_is_not_ours_or_simulated() -> None:
    assert benchmark_condition(wished(), told(), serving=False) is None
    assert benchmark_condition(wished(), None, serving=True) is None
    assert benchmark_condition(wished(simulated=True), told(), serving=True) is None
    template = plan_state(plan(workload=Workload.TEMPLATE, template={"spec": {}}))
    assert benchmark_condition(template, told(), serving=True) is None


def test_the_transformers_runtime_says_that_it_is_not_measured() -> None:
    found = benchmark_condition(on_transformers(), None, serving=True)
    assert found is not None
    assert found.reason == Reason.BENCHMARK_OFF
    assert "transformers runtime is not measured" in found.message


def test_it_stands_in_the_report_beside_memory_and_takes_nothing_from_readiness() -> None:
    memory = Performance(metrics={"kvCacheTokens": Metric(value="1")})
    seen = Observed(pods=(pod(ready=True),), performance=memory, benchmark=told("failed"))
    found = to_report(wished(), seen)
    assert [c.type for c in found.conditions] == [ConditionType.INFERENCE_READY, ConditionType.BENCHMARK_COMPLETED]
    assert found.endpoint
    assert found.next_step is None
    assert found.performance is not None
    assert {"kvCacheTokens", "peakTokensPerMinute"} <= found.performance.metrics.keys()
    waiting = to_report(wished(), seen.model_copy(update={"pods": (pod(),)}))
    assert (waiting.performance, len(waiting.conditions)) == (None, 1)


def test_the_pod_reads_the_wish_from_its_own_annotation_and_does_not_change_with_it() -> None:
    first, second = (render(wished(wish), Images("image"))[-1] for wish in (None, "now"))
    assert first == second
    spec = dig_dict(first, "spec", "template", "spec")
    (volume,) = (volume for volume in dig_dicts(spec, "volumes") if "downwardAPI" in volume)
    assert "metadata.annotations['kaito.sh/benchmark']" in json.dumps(volume)
    container = dig_list(spec, "containers")[0]
    mounts = {str(mount["name"]): str(mount["mountPath"]) for mount in dig_dicts(container, "volumeMounts")}
    env = {str(entry["name"]): str(entry.get("value")) for entry in dig_dicts(container, "env")}
    assert env["KAITOBUS_BENCHMARK"] == f"{mounts[str(volume['name'])]}/benchmark"
    assert env["KAITOBUS_BENCHMARK_DIR"].startswith(mounts["compiled"])
    other = json.dumps(render(on_transformers(), Images("image"))[-1])
    assert "downwardAPI" not in other
    assert "KAITOBUS_BENCHMARK" not in other


def test_the_states_are_the_servers() -> None:
    assert [str(state) for state in BenchmarkState] == [str(state) for state in State]

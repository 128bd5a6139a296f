"""Annotations that say how a model is served: from the Workspace to the pod."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.chassis.kube import dig_dicts, dig_list
from services.contracts.serving import BadServing, Serving, serving_of
from services.deployer.manifests import Images, render
from services.deployer.serving import DRAIN_SECONDS, GRACE_SECONDS
from services.watcher.references import secret_names
from services.watcher.validate import find_problem
from tests.unit.samples import plan, plan_state, workspace

KEY = "kaito.sh/api-key-secret"
MOST = "kaito.sh/max-requests"
KEPT = "kaito.sh/compile-cache"
BENCHMARK = "kaito.sh/benchmark"
KAITOS = "kaito.sh/disable-benchmark"


def environment(serving: Serving, **values: str) -> list[dict[str, object]]:
    state = plan_state(plan(env=values).model_copy(update={"serving": serving}))
    *_, workload = render(state, Images("image"))
    containers = dig_list(workload, "spec", "template", "spec", "containers")
    return [dict(entry) for entry in dig_dicts(containers[0], "env")]


def test_the_key_comes_from_the_secret_and_stands_nowhere_else() -> None:
    entries = environment(Serving(api_key_secret="team-key"), VLLM_API_KEY="in plain sight")
    found = [entry for entry in entries if entry["name"] == "VLLM_API_KEY"]
    reference = {"secretKeyRef": {"name": "team-key", "key": "API_KEY"}}
    assert found == [{"name": "VLLM_API_KEY", "valueFrom": reference}]
    assert not any(entry["name"] == "VLLM_API_KEY" for entry in environment(Serving()))


def test_the_secret_must_exist() -> None:
    spec = workspace().spec
    assert spec is not None
    assert list(secret_names(spec, {KEY: "team-key"})) == [("team-key", f"the annotation {KEY}")]
    assert list(secret_names(spec, {})) == []


def test_the_pod_is_told_what_it_serves_and_how_long_it_may_take_to_end() -> None:
    told = {entry["name"]: entry.get("value") for entry in environment(Serving(max_requests=7))}
    assert told["KAITOBUS_MAX_REQUESTS"] == "7"
    assert told["KAITOBUS_MODEL"] == "microsoft/Phi-4-mini-instruct"
    assert told["KAITOBUS_WORKSPACE"] == "team/w"
    assert told["KAITOBUS_WEIGHTS_GIB"] == "7.2"
    assert told["KAITOBUS_DRAIN_SECONDS"] == str(DRAIN_SECONDS)
    assert DRAIN_SECONDS <= GRACE_SECONDS - 10  # the engine's processes need some seconds to end
    assert "KAITOBUS_MAX_REQUESTS" not in {entry["name"] for entry in environment(Serving())}


def test_a_plan_of_another_revision_does_not_change_the_pod() -> None:
    first, second = (render(plan_state(plan(revision)), Images("image"))[-1] for revision in (1, 2))
    assert first == second


@pytest.mark.parametrize(
    ("annotation", "text"),
    [(KEY, ""), (KEY, "../secrets"), (KEY, "Big"), (KEY, "x" * 254),
     (MOST, "0"), (MOST, "many"), (MOST, "1.5"), (MOST, "²"),
     (KEPT, "claim"), (KEPT, "pvc://"), (KEPT, "pvc:///etc"), (KEPT, "pvc://c/../d"), (KEPT, "pvc://c//d"),
     (KEPT, "pvc://c/."), (KEPT, "node:///tmp")],
)  # fmt: skip
def test_what_cannot_be_read_is_refused_by_name(annotation: str, text: str) -> None:
    problem = find_problem(workspace(annotations={annotation: text}))
    assert problem is not None
    assert annotation in problem.message


@given(st.text(max_size=300), st.text(max_size=12))
def test_any_annotation_is_read_or_refused(name: str, number: str) -> None:
    for said in (
        {KEY: name},
        {MOST: number},
        {KEPT: name},
        {KEPT: f"pvc://c/{name}"},
        {BENCHMARK: name},
        {BENCHMARK: f"now-{number}"},
    ):
        try:
            serving_of(said)
        except BadServing as error:
            assert next(iter(said)) in str(error)  # noqa: PT017 - both ways are right


@pytest.mark.parametrize(
    ("said", "wish"),
    [({}, None), ({BENCHMARK: "idle"}, "idle"), ({BENCHMARK: "off"}, "off"), ({BENCHMARK: "now-2"}, "now-2"),
     ({KAITOS: "true"}, "off"), ({KAITOS: "True", BENCHMARK: "off"}, "off"), ({KAITOS: "false"}, None)],
)  # fmt: skip
def test_when_it_is_measured_may_be_said_in_kaitos_way_too(said: dict[str, str], wish: str | None) -> None:
    assert serving_of(said).benchmark == wish


@pytest.mark.parametrize("text", ["", "yes", "now-", "now-a b", "now\n", "Off"])
def test_a_wish_that_cannot_be_read_switches_the_benchmark_off_and_refuses_nothing(text: str) -> None:
    assert find_problem(workspace(annotations={BENCHMARK: text})) is None
    serving = serving_of({BENCHMARK: text, MOST: "7"})
    assert (serving.benchmark, serving.max_requests) == ("off", 7)
    assert serving.benchmark_fault is not None
    assert f"{BENCHMARK} must be off, idle, now, or now- with" in serving.benchmark_fault
    assert repr(text) in serving.benchmark_fault


def test_two_annotations_that_say_the_opposite_are_told_by_name() -> None:
    assert find_problem(workspace(annotations={BENCHMARK: "now", KAITOS: "true"})) is None
    serving = serving_of({BENCHMARK: "now", KAITOS: "true"})
    assert serving.benchmark == "off"
    assert f"{BENCHMARK} says now, and {KAITOS} says not to measure" in str(serving.benchmark_fault)

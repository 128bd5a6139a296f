"""The fake cloud: its sizes, its scripts, its machines, and the life of pods on them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, strategies

from services.chassis.kube import JsonObject, dig, dig_dict, dig_dicts, dig_str
from services.contracts.errors import FailureCode, ProviderError
from services.provisioner.node_facts import demanded_labels
from services.provisioner.provider import InstanceSpec, InstanceState, Owner
from services.provisioner.providers.fake.node import (
    FAILS,
    Course,
    Courses,
    booted_status,
    failing_status,
    instance_of,
    is_machine,
    new_node,
)
from services.provisioner.providers.fake.pod_life import is_over, next_step
from services.provisioner.providers.fake.script import Script
from services.provisioner.providers.fake.settings import FakeSettings
from services.provisioner.skus import load_skus
from tests.unit.provisioner_cloud import START, demand

PACE = FakeSettings()
LABELS = demanded_labels(demand(), simulated=True)
SPEC = InstanceSpec(
    name="fake-a-0", owner=Owner.of(demand()), instance_type="Standard_NC24ads_A100_v4", labels=LABELS
)  # fmt: skip
BOOTED = START + timedelta(seconds=3)


# -- sizes


def test_all_known_clouds_are_offered_with_prices() -> None:
    offer = load_skus()["standard_nc24ads_a100_v4"].offer()
    assert (offer.gpus, offer.gpu_model) == (1, "A100")
    assert 79 <= offer.gpu_memory_gib <= 80
    assert offer.price_per_hour
    assert "p5.48xlarge" in load_skus()


def test_old_sizes_are_marked() -> None:
    offer = load_skus()["standard_nc12s_v3"].offer()
    assert offer.retired
    assert offer.replacement


# -- scripts


def script(**parameters: str) -> Script:
    return Script.of({k.replace("_", "-"): v for k, v in parameters.items()}, PACE)


def answers(told: Script, times: int) -> list[FailureCode | None]:
    """What the cloud answers when it is asked again and again."""
    refusals = [told.refusal(done) for done in range(times)]
    return [refusal.code if refusal else None for refusal in refusals]


def test_without_a_script_nothing_fails() -> None:
    assert answers(script(), 1) == [None]
    assert script(zone="2") == Script(boot_seconds=PACE.boot_seconds)


@pytest.mark.parametrize("code", FailureCode)
def test_every_typed_error_can_be_shown_for_ever_or_for_some_times(code: FailureCode) -> None:
    assert answers(script(fail=code), 5) == [code] * 5
    assert answers(script(fail=code, fail_times="2"), 3) == [code, code, None]


def test_a_refusal_says_what_it_is_told_to_say() -> None:
    refusal = script(fail="Throttled", fail_message="Slow down", retry_after="7").refusal(0)
    assert refusal is not None
    assert (refusal.message, refusal.retry_after) == ("Slow down", 7)


@pytest.mark.parametrize(
    "parameters",
    [
        {"fail": "Nonsense"},
        {"fail": "Internal", "fail_times": "often"},
        {"fail": "Internal", "fail_times": "-1"},
        {"late_seconds": "a while"},
        {"vanish_after_seconds": "nan"},
        {"crash_once": "yes"},
    ],
)
def test_a_script_that_cannot_be_read_is_an_invalid_request(parameters: dict[str, str]) -> None:
    with pytest.raises(ProviderError, match=r"fake\.kaito\.sh/") as caught:
        script(**parameters)
    assert caught.value.code is FailureCode.INVALID_REQUEST


@pytest.mark.parametrize("text", ["soon", "-1", "nan", ""])
def test_boot_seconds_must_be_a_number(text: str) -> None:
    with pytest.raises(ProviderError, match="is no number from 0 up"):
        script(boot_seconds=text)


def test_a_node_turns_not_ready_when_its_time_has_come_and_is_not_booted_again() -> None:
    node = new_node(SPEC, START, START, {FAILS: BOOTED.isoformat()})
    node |= {"status": booted_status(node, None, START)}
    assert (Course.of(node).is_failing(START), Course.of(node).is_failing(BOOTED)) == (False, True)
    node |= {"status": failing_status(BOOTED)}
    assert (Course.of(node).is_failing(BOOTED), Course.of(node).is_due(BOOTED)) == (False, False)


# -- machines


def test_a_machine_boots_by_the_clock_alone() -> None:
    node = new_node(SPEC, START, BOOTED)
    before, after = instance_of(node, START), instance_of(node, BOOTED)
    assert (before.state, before.node_name, before.detail) == (InstanceState.CREATING, None, "is booting")
    assert (after.state, after.node_name, after.launched_at) == (InstanceState.RUNNING, "fake-a-0", BOOTED)
    assert (before.created_at, before.owner) == (START, SPEC.owner)


def test_a_booted_machine_shows_what_its_size_has_and_is_then_let_be() -> None:
    node = new_node(SPEC, START, BOOTED)
    assert (Course.of(node).is_due(START), Course.of(node).is_due(BOOTED)) == (False, True)
    status = booted_status(node, load_skus()[SPEC.instance_type.lower()], BOOTED)
    assert dig_dict(status, "allocatable")["nvidia.com/gpu"] == "1"
    assert not Course.of(node | {"status": status}).is_due(BOOTED)


def test_other_nodes_are_none_of_its_machines() -> None:
    assert not is_machine({"metadata": {"name": "n", "labels": LABELS}})


def test_a_node_is_read_anew_when_it_has_become_another() -> None:
    courses, young = Courses(), new_node(SPEC, START, BOOTED)
    assert courses.of({"fake-a-0": young, "somebody-elses": {"metadata": {}}}).keys() == {"fake-a-0"}
    first = courses.of({"fake-a-0": young})["fake-a-0"]
    assert courses.of({"fake-a-0": young})["fake-a-0"] is first
    ready = young | {"status": booted_status(young, None, BOOTED)}
    assert courses.of({"fake-a-0": ready})["fake-a-0"].is_ready
    assert courses.of({}) == {}


# -- pods


def pod(restart: str = "Always", init: int = 0) -> JsonObject:
    containers = [{"name": "c", "image": "i"}]
    spec = {
        "restartPolicy": restart,
        "containers": containers,
        "initContainers": [{"name": f"i{n}"} for n in range(init)],
    }
    scheduled = {"type": "PodScheduled", "status": "True"}
    return {"metadata": {"name": "p"}, "spec": spec, "status": {"phase": "Pending", "conditions": [scheduled]}}


def live(one: JsonObject, seconds: int) -> list[tuple[str, bool]]:
    """Let a pod live for so long, looked at every second; returns phase and readiness wherever they change."""
    seen: list[tuple[str, bool]] = []
    for second in range(seconds):
        step = next_step(one, START + timedelta(seconds=second), PACE)
        one["status"] = dig_dict(one, "status") | (step.status or {})
        ready = any(
            c.get("type") == "Ready" and c.get("status") == "True" for c in dig_dicts(one, "status", "conditions")
        )
        now = (dig_str(one, "status", "phase"), ready)
        seen += [now] if not seen or seen[-1] != now else []
    return seen


@pytest.mark.parametrize("init", [0, 2])
def test_a_server_becomes_ready_and_stays_so(init: int) -> None:
    one = pod(init=init)
    assert live(one, 60) == [("Pending", False), ("Running", False), ("Running", True)]
    assert dig(one, "status", "podIP") is None
    assert [c["type"] for c in dig_dicts(one, "status", "conditions")] == [
        "PodScheduled", "Initialized", "ContainersReady", "Ready",
    ]  # fmt: skip


@pytest.mark.parametrize("restart", ["Never", "OnFailure"])
def test_a_pod_that_is_meant_to_end_succeeds(restart: str) -> None:
    one = pod(restart)
    assert live(one, 60)[-1] == ("Succeeded", False)
    assert dig(one, "status", "containerStatuses", 0, "state", "terminated", "exitCode") == 0
    assert is_over(one)


def test_while_its_image_is_pulled_a_container_says_so() -> None:
    status = next_step(pod(), START, PACE).status
    assert dig(status, "containerStatuses", 0, "state", "waiting", "reason") == "ContainerCreating"


@given(cut=strategies.integers(0, 12))
def test_another_process_goes_on_where_one_stopped(cut: int) -> None:
    whole, parts = pod("Never"), pod("Never")
    live(whole, 30)
    live(parts, cut)
    live(parts, 30)
    assert dig_str(parts, "status", "phase") == dig_str(whole, "status", "phase") == "Succeeded"


def test_a_pod_at_rest_is_not_looked_at_again() -> None:
    one = pod()
    live(one, 20)
    assert next_step(one, datetime(2030, 1, 1, tzinfo=UTC), PACE) == (None, None)

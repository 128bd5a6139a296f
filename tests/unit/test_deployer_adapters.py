"""Adapters on their way to the server: the list, what a pod mounts for them, and what is told of them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from deploy.local.node.launch import container_mounts
from deploy.local.node.mounts import rewrite
from deploy.local.node.pod import Pod
from services.chassis.kube import dig_dict, dig_dicts, dig_str
from services.contracts.adapters import PlannedAdapter, PlannedLora
from services.contracts.conditions import Condition, ConditionStatus, ConditionType, Reason
from services.contracts.messages import PlanState
from services.deployer.adapter_states import AdapterStates, adapters_condition, settled
from services.deployer.adapters import adapter_list, list_revision
from services.deployer.manifests import Images, adapters_config_map, render
from services.inference.adapters.wanted import Mounts, read_list
from tests.unit.samples import lora, plan, plan_state

CLAIM = {"persistentVolumeClaim": {"claimName": "adapters"}}
FULL = PlannedLora(
    adapters=(
        PlannedAdapter(name="a", strength=0.5, image="r.io/a:1", pull_secrets=("reg",)),
        PlannedAdapter(name="b", urls=("https://e.org/b.tar",)),
        PlannedAdapter(name="c", volume=CLAIM),
        PlannedAdapter(name="d", volume=CLAIM),
    ),
    pull_secrets=("reg", "old"),
)


def state(planned: PlannedLora | None) -> PlanState:
    return plan_state(plan().model_copy(update={"lora": planned}))


def template(planned: PlannedLora | None) -> dict[str, object]:
    (workload,) = [one for one in render(state(planned), Images("i")) if one["kind"] == "StatefulSet"]
    return dig_dict(workload, "spec", "template")


def text(found: PlanState) -> str:
    written = adapter_list(found)
    assert written is not None
    return written


class TestList:
    """The ConfigMap and the pod."""

    def test_the_server_reads_what_the_deployer_writes(self) -> None:
        written = text(state(FULL))
        revision, content = read_list(written.encode())
        assert revision == list_revision(written)
        assert content.base == "microsoft/Phi-4-mini-instruct"
        a, b, c, d = content.adapters
        assert (a.name, a.strength, a.image, a.pull_secrets) == ("a", 0.5, "r.io/a:1", ("reg",))
        assert b.urls == ("https://e.org/b.tar",)
        assert c.volume == d.volume == FULL.adapters[2].volume_key

    def test_a_config_map_carries_it_and_belongs_to_the_workspace(self) -> None:
        made = adapters_config_map(state(FULL))
        assert made is not None
        assert dig_str(made, "metadata", "name") == "w-adapters"
        assert dig_dicts(made, "metadata", "ownerReferences")[0]["name"] == "w"
        assert made["data"] == {"adapters.json": text(state(FULL))}

    def test_without_room_for_adapters_there_is_none_and_the_pod_is_as_before(self) -> None:
        assert adapters_config_map(state(None)) is None
        spec = dig_dict(template(None), "spec")
        assert not [volume for volume in dig_dicts(spec, "volumes") if "adapter" in dig_str(volume, "name")]
        assert "KAITOBUS_ADAPTER" not in json.dumps(spec)

    def test_the_pod_does_not_change_when_the_list_does(self) -> None:
        changed = FULL.model_copy(update={"adapters": (*FULL.adapters[2:], PlannedAdapter(name="e", image="r.io/e:1"))})
        assert template(FULL) == template(changed)
        assert adapters_config_map(state(FULL)) != adapters_config_map(state(changed))

    def test_secrets_and_volumes_are_mounted_once_and_read_only(self) -> None:
        spec = template(FULL)["spec"]
        assert isinstance(spec, dict)
        volumes = {volume["name"]: volume for volume in spec["volumes"] if "adapter" in volume["name"]}
        key = FULL.adapters[2].volume_key
        assert volumes.keys() == {"adapters", "adapter-secret-0", "adapter-secret-1", f"adapter-volume-{key}"}
        assert volumes["adapters"]["configMap"] == {"name": "w-adapters", "optional": True}
        assert all(volumes[f"adapter-secret-{at}"]["secret"]["optional"] for at in (0, 1))
        mounts = {mount["name"]: mount for mount in spec["containers"][0]["volumeMounts"] if mount["name"] in volumes}
        assert mounts.keys() == volumes.keys()
        assert all(mount["readOnly"] and "subPath" not in mount for mount in mounts.values())

    def test_the_server_is_told_where_they_are_mounted(self) -> None:
        spec = template(FULL)["spec"]
        assert isinstance(spec, dict)
        env = {entry["name"]: entry.get("value") for entry in spec["containers"][0]["env"]}
        paths = {mount["name"]: mount["mountPath"] for mount in spec["containers"][0]["volumeMounts"]}
        told = Mounts.model_validate_json(env["KAITOBUS_ADAPTER_MOUNTS"])
        assert told.secrets == {"reg": paths["adapter-secret-0"], "old": paths["adapter-secret-1"]}
        key = FULL.adapters[2].volume_key
        assert told.volumes == {key: paths[f"adapter-volume-{key}"]}
        assert env["KAITOBUS_ADAPTERS"] == f"{paths['adapters']}/adapters.json"


def told(found: PlanState, *adapters: dict[str, object]) -> AdapterStates:
    revision = list_revision(text(found))
    return AdapterStates.model_validate({"revision": revision, "adapters": adapters})


TWO = state(lora("good", "bad"))
GOOD: dict[str, object] = {
    "name": "good",
    "state": "ready",
    "rank": 8,
    "strength": 0.5,
    "digest": "sha256:1",
    "reason": "",
}
BAD: dict[str, object] = {"name": "bad", "state": "failed", "reason": "It was made for a, and b is served here."}


def condition(found: PlanState, states: AdapterStates | None, *, serving: bool = True) -> Condition:
    made = adapters_condition(found, states, serving=serving)
    assert made is not None
    assert made.type is ConditionType.ADAPTERS_READY
    return made


class TestCondition:
    """AdaptersReady."""

    def test_a_workspace_without_adapters_has_none(self) -> None:
        assert adapters_condition(state(None), None, serving=True) is None
        assert adapters_condition(state(PlannedLora()), None, serving=True) is None
        assert settled(state(PlannedLora()), None)

    def test_each_one_is_told_with_its_rank_and_strength(self) -> None:
        one = state(lora("good"))
        made = condition(one, told(one, GOOD))
        assert (made.status, made.reason) == (ConditionStatus.TRUE, Reason.ADAPTERS_READY)
        assert made.message == "good is served (rank 8, strength 0.5)."
        assert settled(one, told(one, GOOD))

    def test_a_bad_one_is_told_first_with_its_reason_and_the_good_one_is_served(self) -> None:
        made = condition(TWO, told(TWO, GOOD, BAD))
        assert (made.status, made.reason) == (ConditionStatus.FALSE, Reason.ADAPTER_NOT_LOADED)
        assert made.message == (
            "bad is not loaded: It was made for a, and b is served here. good is served (rank 8, strength 0.5)."
        )
        assert settled(TWO, told(TWO, GOOD, BAD))

    @pytest.mark.parametrize(
        "states",
        [None, AdapterStates(revision="before"), told(TWO, GOOD), told(TWO, GOOD, {"name": "bad", "state": "loading"})],
    )
    def test_until_the_server_has_done_with_the_present_list_it_is_loading(self, states: AdapterStates | None) -> None:
        assert condition(TWO, states).reason == Reason.ADAPTERS_LOADING
        assert not settled(TWO, states)

    def test_what_failed_is_told_though_another_is_still_loading(self) -> None:
        found = told(TWO, {"name": "good", "state": "loading"}, BAD)
        assert condition(TWO, found).reason == Reason.ADAPTER_NOT_LOADED
        assert not settled(TWO, found)

    def test_before_the_model_answers_nothing_is_loaded(self) -> None:
        assert condition(TWO, None, serving=False).reason == Reason.ADAPTERS_LOADING

    def test_a_rehearsal_says_so(self) -> None:
        rehearsed = plan_state(plan(simulated=True, adapters=("a",)))
        made = condition(rehearsed, None)
        assert (made.status, made.reason) == (ConditionStatus.TRUE, Reason.SIMULATED)
        assert made.message.startswith("Simulated: ")
        assert settled(rehearsed, None)


def test_on_one_machine_the_paths_that_the_server_is_told_are_real_ones(tmp_path: Path) -> None:
    """There are no mount namespaces there: the node agent replaces paths in the environment, within JSON as well."""
    hosted = PlannedAdapter(name="e", volume={"hostPath": {"path": "/srv/adapters"}})
    spec = template(FULL.model_copy(update={"adapters": (*FULL.adapters[:2], hosted)}))["spec"]
    pod = Pod.model_validate({"metadata": {"name": "w-0", "namespace": "n", "uid": "u"}, "spec": spec})
    mounts = container_mounts(pod, pod.spec.containers[0], tmp_path)
    env = {variable.name: rewrite(variable.value, mounts) for variable in pod.spec.containers[0].env}
    found = Mounts.model_validate_json(env["KAITOBUS_ADAPTER_MOUNTS"])
    volumes = tmp_path / "volumes"
    assert found.volumes == {hosted.volume_key: "/srv/adapters"}
    assert found.secrets == {"reg": str(volumes / "adapter-secret-0"), "old": str(volumes / "adapter-secret-1")}
    assert env["KAITOBUS_ADAPTERS"] == str(volumes / "adapters" / "adapters.json")
    assert env["KAITOBUS_ADAPTERS_DIR"] == str(volumes / "weights" / "adapters")

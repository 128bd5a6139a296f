"""The Kubernetes objects of a plan: always the same for the same plan, and nothing in them that is secret."""

from __future__ import annotations

import json
from typing import ClassVar

from hypothesis import given
from hypothesis import strategies as st

from services.chassis.kube import JsonObject, dig, dig_dict, dig_dicts, dig_list, dig_str
from services.contracts.identity import traceparent
from services.contracts.plan import Engine, PlannedModel, PodResources, Workload
from services.deployer.command import COMMAND, arguments
from services.deployer.manifests import Images, render, startup_seconds
from tests.unit.samples import UID, plan, plan_state

IMAGES = Images("registry.example.com/inference:1")
OTLP = "http://collector:4318"

TEMPLATE: JsonObject = {
    "metadata": {"labels": {"mine": "yes"}, "annotations": {"note": "kept"}},
    "spec": {
        "containers": [{"name": "own", "image": "own:1", "resources": {"limits": {"nvidia.com/gpu": "2"}}}],
        "serviceAccountName": "own",
        "tolerations": [{"key": "own", "operator": "Exists"}],
        "affinity": {
            "podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": []},
            "nodeAffinity": {
                "requiredDuringSchedulingIgnoredDuringExecution": {
                    "nodeSelectorTerms": [
                        {"matchExpressions": [{"key": "zone", "operator": "In", "values": ["1"]}]},
                        {"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["node-9"]}]},
                    ]
                }
            },
        },
    },
}


def objects(**of: object) -> dict[str, JsonObject]:
    found = render(plan_state(plan(**of)), IMAGES, OTLP)  # type: ignore[arg-type]  # handed through as they are
    return {f"{dig_str(obj, 'kind')} {dig_str(obj, 'metadata', 'name')}": obj for obj in found}


def pod_spec(**of: object) -> JsonObject:
    return dig_dict(objects(**of)["StatefulSet w"], "spec", "template", "spec")


def container(**of: object) -> JsonObject:
    return dig_dicts(pod_spec(**of), "containers")[0]


def env(**of: object) -> dict[str, object]:
    return {
        dig_str(entry, "name"): entry.get("value", entry.get("valueFrom"))
        for entry in dig_dicts(container(**of), "env")
    }


class TestObjects:
    """Which objects there are, and whose they are."""

    def test_a_stateful_set_and_two_services_named_as_the_workspace(self) -> None:
        assert set(objects()) == {"Service w", "Service w-headless", "StatefulSet w"}

    def test_the_same_plan_gives_the_same_objects_to_the_byte(self) -> None:
        assert json.dumps(objects()) == json.dumps(objects())

    def test_each_goes_with_its_workspace_and_is_found_by_its_uid(self) -> None:
        for obj in objects().values():
            assert dig(obj, "metadata", "namespace") == "team"
            assert dig(obj, "metadata", "labels", "kaito.sh/workspace-uid") == UID
            owner = dig_dicts(obj, "metadata", "ownerReferences")[0]
            assert (owner["kind"], owner["name"], owner["uid"]) == ("Workspace", "w", UID)
            assert owner["controller"] is owner["blockOwnerDeletion"] is True

    def test_the_service_has_the_ports_that_clients_of_kaito_know(self) -> None:
        spec = dig_dict(objects()["Service w"], "spec")
        assert [p["port"] for p in dig_dicts(spec, "ports")] == [80, 29500]
        assert dig_dicts(spec, "ports")[0]["targetPort"] == 5000
        assert spec["type"] == "ClusterIP"

    def test_requests_go_to_the_first_pod_which_leads_the_others(self) -> None:
        selector = dig_dict(objects()["Service w"], "spec", "selector")
        assert selector["statefulset.kubernetes.io/pod-name"] == "w-0"

    def test_a_load_balancer_where_it_is_asked_for(self) -> None:
        assert dig(objects(load_balancer=True)["Service w"], "spec", "type") == "LoadBalancer"

    def test_pods_find_each_other_before_they_are_ready(self) -> None:
        spec = dig_dict(objects()["Service w-headless"], "spec")
        assert (spec["clusterIP"], spec["publishNotReadyAddresses"]) == ("None", True)

    def test_one_pod_a_node_all_started_at_once(self) -> None:
        spec = dig_dict(objects(nodes=3)["StatefulSet w"], "spec")
        assert (spec["replicas"], spec["podManagementPolicy"]) == (3, "Parallel")
        labels = dig_dict(spec, "template", "metadata", "labels")
        assert dig_dict(spec, "selector", "matchLabels").items() <= labels.items()


class TestPod:
    """The pod that serves a preset."""

    def test_it_runs_on_nodes_with_the_labels_of_the_plan_only(self) -> None:
        required = dig_dict(pod_spec(), "affinity", "nodeAffinity", "requiredDuringSchedulingIgnoredDuringExecution")
        (term,) = dig_dicts(required, "nodeSelectorTerms")
        assert term["matchExpressions"] == [
            {"key": "apps", "operator": "In", "values": ["phi"]},
            {"key": "kaito.sh/workspace", "operator": "In", "values": ["w"]},
        ]

    def test_it_tolerates_the_taints_of_gpu_nodes(self) -> None:
        assert pod_spec()["tolerations"] == [
            {"key": "sku", "operator": "Equal", "value": "gpu", "effect": "NoSchedule"},
            {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"},
        ]

    def test_it_tolerates_what_the_plan_demands_and_what_the_cloud_may_put_there(self) -> None:
        found = pod_spec(taints=("sku=gpu:NoSchedule", "own:NoExecute"), tolerates=("cloud/priority=spot:NoSchedule",))
        assert found["tolerations"] == [
            {"key": "sku", "operator": "Equal", "value": "gpu", "effect": "NoSchedule"},
            {"key": "own", "operator": "Exists", "effect": "NoExecute"},
            {"key": "cloud/priority", "operator": "Equal", "value": "spot", "effect": "NoSchedule"},
            {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"},
        ]

    def test_it_asks_for_its_gpus(self) -> None:
        assert dig_dict(container(), "resources") == {
            "limits": {"nvidia.com/gpu": "1"},
            "requests": {"nvidia.com/gpu": "1"},
        }

    def test_without_gpus_it_asks_for_memory_and_processors(self) -> None:
        made = plan().model_copy(update={"pod": PodResources(cpu="2", memory_gib=3.5)})
        stateful_set = render(plan_state(made), IMAGES)[-1]
        found = dig(stateful_set, "spec", "template", "spec", "containers", 0, "resources")
        assert found == {"requests": {"cpu": "2", "memory": "3584Mi"}}

    def test_it_is_ready_when_it_answers_and_may_take_its_time_to_start(self) -> None:
        for name in ("startupProbe", "readinessProbe", "livenessProbe"):
            assert dig(container(), name, "httpGet") == {"path": "/health", "port": 5000}
        startup = dig_dict(container(), "startupProbe")
        assert (startup["periodSeconds"], startup["failureThreshold"]) == (1, 1800)

    @given(st.floats(min_value=0, max_value=2000))
    def test_a_start_may_take_from_30_minutes_to_3_hours(self, weights: float) -> None:
        assert 1800 <= startup_seconds(weights) <= 10800

    def test_it_goes_on_in_the_trace_of_its_workspace(self) -> None:
        assert env()["TRACEPARENT"] == traceparent(UID, 1)
        assert env()["OTEL_EXPORTER_OTLP_ENDPOINT"] == OTLP
        assert f"--otlp-traces-endpoint={OTLP}/v1/traces" in dig_list(container(), "args")

    def test_without_a_collector_it_sends_nothing(self) -> None:
        text = json.dumps(render(plan_state(), IMAGES))
        assert "OTLP" not in text
        assert "otlp" not in text

    def test_each_variable_has_one_value_and_that_of_the_plan_wins(self) -> None:
        entries = dig_dicts(container(env={"HF_HOME": "/data", "A": "1"}), "env")
        names = [entry["name"] for entry in entries]
        assert len(names) == len(set(names))
        assert env(env={"HF_HOME": "/data", "A": "1"}).items() >= {"HF_HOME": "/data", "A": "1"}.items()

    def test_it_has_no_account_and_no_privileges(self) -> None:
        assert pod_spec()["automountServiceAccountToken"] is False
        assert dig(container(), "securityContext") == {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
        }


class TestToken:
    """The token of a gated model."""

    def test_it_is_named_never_held(self) -> None:
        assert env(token_secret="hf")["HF_TOKEN"] == {"secretKeyRef": {"name": "hf", "key": "HF_TOKEN"}}
        assert sum(name == "HF_TOKEN" for name in env(token_secret="hf", env={"HF_TOKEN": "x"})) == 1

    def test_there_is_no_variable_without_one(self) -> None:
        assert "HF_TOKEN" not in env()


class TestTemplate:
    """A pod of the user's own."""

    OWN: ClassVar[JsonObject] = {"workload": Workload.TEMPLATE, "template": TEMPLATE}

    def test_all_of_it_is_kept(self) -> None:
        spec, own = pod_spec(**self.OWN), dig_dict(TEMPLATE, "spec")
        assert {k: spec[k] for k in ("containers", "serviceAccountName")} == {
            k: own[k] for k in ("containers", "serviceAccountName")
        }
        metadata = dig_dict(objects(**self.OWN)["StatefulSet w"], "spec", "template", "metadata")
        assert metadata["annotations"] == {"note": "kept"}
        assert dig(metadata, "labels", "mine") == "yes"
        assert dig_list(spec, "tolerations")[0] == {"key": "own", "operator": "Exists"}
        assert len(dig_list(spec, "tolerations")) == 3

    def test_its_own_affinity_is_narrowed_to_the_nodes_of_the_plan(self) -> None:
        affinity = dig_dict(pod_spec(**self.OWN), "affinity")
        assert "podAntiAffinity" in affinity
        required = dig_dict(affinity, "nodeAffinity", "requiredDuringSchedulingIgnoredDuringExecution")
        first, second = dig_dicts(required, "nodeSelectorTerms")
        assert [e["key"] for e in dig_dicts(first, "matchExpressions")] == ["zone", "apps", "kaito.sh/workspace"]
        assert [e["key"] for e in dig_dicts(second, "matchExpressions")] == ["apps", "kaito.sh/workspace"]
        assert dig_dicts(second, "matchFields")

    def test_the_plan_is_not_changed_by_rendering_it(self) -> None:
        before = json.dumps(TEMPLATE)
        objects(**self.OWN)
        assert json.dumps(TEMPLATE) == before


class TestCommandLine:
    """The arguments of vLLM."""

    MODEL = PlannedModel(id="org/model", name="model", weights_gib=1)

    def test_every_model_has_these(self) -> None:
        assert container()["command"] == [COMMAND]
        assert dig_list(container(), "args")[:8] == [
            "--model=microsoft/Phi-4-mini-instruct",
            "--served-model-name=phi-4-mini-instruct",
            "--host=0.0.0.0",
            "--port=5000",
            "--dtype=bfloat16",
            "--tensor-parallel-size=1",
            "--pipeline-parallel-size=1",
            "--data-parallel-size=1",
        ]

    def test_what_the_plan_says_is_added(self) -> None:
        model = self.MODEL.model_copy(update={"revision": "abc"})
        line = arguments(model, Engine(dtype="auto", max_model_len=2048, gpu_memory_utilization=0.95))
        assert {"--revision=abc", "--max-model-len=2048", "--gpu-memory-utilization=0.95"} <= set(line)

    def test_a_switch_has_no_value_and_a_value_may_begin_with_a_dash(self) -> None:
        line = arguments(self.MODEL, Engine(dtype="auto", flags={"enforce-eager": "", "chat-template": "-x"}))
        assert "--enforce-eager" in line
        assert "--chat-template=-x" in line

    def test_a_flag_of_the_plan_replaces_ours_and_no_flag_stands_twice(self) -> None:
        line = arguments(self.MODEL, Engine(dtype="auto", flags={"dtype": "float16"}))
        assert "--dtype=float16" in line
        assert len({word.split("=")[0] for word in line}) == len(line)

    @given(st.dictionaries(st.from_regex(r"[a-z]{1,8}", fullmatch=True), st.text(max_size=5), max_size=6))
    def test_the_order_in_which_flags_are_given_does_not_matter(self, flags: dict[str, str]) -> None:
        backwards = dict(reversed(list(flags.items())))
        assert arguments(self.MODEL, Engine(dtype="auto", flags=flags)) == arguments(
            self.MODEL, Engine(dtype="auto", flags=backwards)
        )


def test_pods_use_the_hub_that_the_deployer_was_told_of() -> None:
    def hub(images: Images) -> list[str]:
        *_, workload = render(plan_state(), images)
        [found] = dig_dicts(workload, "spec", "template", "spec", "containers")
        return [dig_str(entry, "value") for entry in dig_dicts(found, "env") if entry["name"] == "HF_ENDPOINT"]

    assert hub(Images("i", "https://mirror.example")) == ["https://mirror.example"]
    assert hub(Images("i")) == []

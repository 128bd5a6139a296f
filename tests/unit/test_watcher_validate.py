"""What is wrong with a Workspace is said in one sentence that names the field and what to change."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from services.chassis.kube import JsonObject
from services.contracts.conditions import ConditionStatus, ConditionType, Reason
from services.contracts.plan import Workload
from services.contracts.workspace import LabelSelector
from services.watcher.checks.labels import plain_labels
from services.watcher.validate import find_problem, fixed_part, workload
from services.watcher.workspace import Workspace, read
from tests.unit.samples import INFERENCE, OWN, RESOURCE, TUNING, manifest, workspace

EXAMPLES = sorted((Path(__file__).parents[1] / "data" / "source-examples").glob("*.yaml"))


def said(found: Workspace) -> str:
    problem = find_problem(found)
    return problem.message if problem else ""


def labelled(selector: JsonObject) -> Workspace:
    return workspace(resource={"labelSelector": selector})


def serving(**inference: object) -> Workspace:
    return workspace(inference={**INFERENCE, **inference})


def tuning(**parts: object) -> Workspace:
    return workspace(tuning={**TUNING, **parts})


def adapted(*adapters: JsonObject) -> Workspace:
    return serving(adapters=list(adapters))


def adapter(name: str = "a", **parts: object) -> JsonObject:
    return {"source": {"name": name, "image": "registry.example.com/a:1"}, **parts}


class TestGood:
    """What is taken."""

    @pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
    def test_the_manifests_written_for_kaito_are_taken_as_they_are(self, path: Path) -> None:
        obj = yaml.safe_load(path.read_text())
        obj["metadata"] |= {"uid": "u", "creationTimestamp": "2026-01-01T00:00:00Z"}
        assert find_problem(read(obj)) is None

    def test_inference_of_a_preset(self) -> None:
        assert find_problem(workspace()) is None

    def test_tuning_of_a_preset(self) -> None:
        assert find_problem(tuning()) is None

    def test_a_pod_of_the_users_own(self) -> None:
        assert find_problem(workspace(inference=OWN)) is None

    def test_the_instance_type_may_be_left_out(self) -> None:
        assert find_problem(labelled({"matchLabels": {"apps": "phi"}})) is None

    @pytest.mark.parametrize("method", ["lora", "qlora", "QLoRA", "LORA"])
    def test_the_method_is_read_in_any_case_of_letters(self, method: str) -> None:
        assert find_problem(tuning(method=method)) is None

    @pytest.mark.parametrize("strength", ["0", "1", "0.5", "1.0", ".25"])
    def test_an_adapter_weighs_from_0_to_1(self, strength: str) -> None:
        assert find_problem(adapted(adapter(strength=strength))) is None

    def test_annotations_of_others_are_not_ours_to_judge(self) -> None:
        assert find_problem(workspace(annotations={"example.com/runtime": "anything"})) is None


class TestWorkloads:
    """Exactly one of inference and tuning."""

    def test_both_of_inference_and_tuning(self) -> None:
        assert "this one has both" in said(workspace(inference=INFERENCE, tuning=TUNING))

    def test_neither_of_them(self) -> None:
        found = read({key: value for key, value in manifest().items() if key != "inference"})
        assert "this one has neither" in said(found)

    def test_a_spec_that_does_not_fit_the_model_is_told_by_its_fields(self) -> None:
        found = workspace(resource={**RESOURCE, "count": "many"})
        assert found.spec is None
        assert said(found).startswith("The spec cannot be read: resource.count:")

    def test_the_condition_is_a_failed_plan(self) -> None:
        problem = find_problem(workspace(inference=INFERENCE, tuning=TUNING))
        assert problem is not None
        condition = problem.condition()
        assert (condition.type, condition.status) == (ConditionType.PLAN_READY, ConditionStatus.FALSE)
        assert condition.reason == Reason.INVALID_SPEC
        assert condition.message == problem.message


class TestNames:
    """The name becomes that of a Service and a StatefulSet."""

    @pytest.mark.parametrize("name", ["w", "phi-4", "a1", "a" * 52])
    def test_a_name_that_services_and_stateful_sets_can_have(self, name: str) -> None:
        assert find_problem(workspace(name=name)) is None

    @pytest.mark.parametrize("name", ["phi.4", "1st", "a" * 53])
    def test_a_name_that_they_cannot_have_is_told_before_anything_is_made(self, name: str) -> None:
        assert "metadata.name" in said(workspace(name=name))


class TestLabels:
    """The label selector becomes labels of nodes."""

    def test_a_plain_map(self) -> None:
        assert plain_labels(LabelSelector(match_labels={"a": "b"})) == {"a": "b"}

    def test_an_expression_with_in_and_one_value_is_a_plain_label(self) -> None:
        selector: JsonObject = {"matchExpressions": [{"key": "apps", "operator": "In", "values": ["phi"]}]}
        found = labelled(selector)
        assert find_problem(found) is None
        assert found.spec is not None
        assert fixed_part(found.spec).labels == {"apps": "phi"}

    @pytest.mark.parametrize(
        "expression",
        [
            {"key": "a", "operator": "In", "values": ["b", "c"]},
            {"key": "a", "operator": "In", "values": []},
            {"key": "a", "operator": "In"},
            {"key": "a", "operator": "NotIn", "values": ["b"]},
            {"key": "a", "operator": "Exists"},
            {"key": "a", "operator": "DoesNotExist"},
        ],
        ids=lambda e: f"{e['operator']}-{len(e.get('values', []))}",
    )
    def test_anything_else_cannot_be_put_on_a_node(self, expression: JsonObject) -> None:
        selector: JsonObject = {"matchLabels": {"apps": "phi"}, "matchExpressions": [expression]}
        assert "must be a plain map of labels" in said(labelled(selector))

    def test_two_values_for_one_label(self) -> None:
        selector: JsonObject = {
            "matchLabels": {"apps": "phi"},
            "matchExpressions": [{"key": "apps", "operator": "In", "values": ["other"]}],
        }
        assert "must be a plain map of labels" in said(labelled(selector))

    @pytest.mark.parametrize("value", ["two words", "-a", "a" * 64, "é"])
    def test_a_value_that_no_label_can_have(self, value: str) -> None:
        assert "cannot be the value of the label apps" in said(labelled({"matchLabels": {"apps": value}}))

    @pytest.mark.parametrize("selector", [{}, {"matchLabels": {}}, {"matchLabels": {"kaito.sh/workspace": "w"}}])
    def test_a_label_of_the_users_own_is_needed(self, selector: JsonObject) -> None:
        assert "needs at least one label of your own" in said(labelled(selector))


class TestInference:
    """What is served."""

    def test_preset_and_template_together(self) -> None:
        assert "exactly one of preset and template" in said(serving(template={"spec": {}}))

    def test_neither_preset_nor_template(self) -> None:
        assert "exactly one of preset and template" in said(workspace(inference={"config": "c"}))

    @pytest.mark.parametrize(
        ("bad", "words"),
        [
            ({"strength": "1.0"}, "adapters[0].source needs a name"),
            ({"source": {"image": "i"}}, "adapters[0].source needs a name"),
            (adapter(strength="2"), "strength must be a number from 0 to 1"),
            (adapter(strength="-0.1"), "strength must be a number from 0 to 1"),
            (adapter(strength="much"), "it is 'much'"),
            (adapter(strength="nan"), "it is 'nan'"),
            (adapter("a/b"), "source.name is 'a/b': use at most 128 letters"),
            (adapter("-a"), "source.name is '-a'"),
            (adapter("a" * 129), "use at most 128 letters"),
            ({"source": {"name": "a", "image": "r.io/a b"}}, "source.image is 'r.io/a b', which is no"),
            ({"source": {"name": "a", "image": ""}}, "which is no reference to an image"),
            ({"source": {"name": "a", "urls": ["ftp://e"]}}, "http and https addresses only"),
            ({"source": {"name": "a"}}, "exactly one of urls, image and volumeSource"),
            ({"source": {"name": "a", "image": "i", "urls": ["https://e"]}}, "exactly one of urls, image"),
        ],
    )
    def test_an_adapter_that_cannot_be_served(self, bad: JsonObject, words: str) -> None:
        assert words in said(adapted(bad))

    def test_the_second_of_two_adapters_is_named(self) -> None:
        assert "adapters[1]" in said(adapted(adapter("a"), adapter("b", strength="5")))

    def test_adapters_of_a_template(self) -> None:
        own = workspace(inference={"template": {"spec": {}}, "adapters": [adapter("a")]})
        assert "served beside a preset" in said(own)

    def test_two_adapters_of_one_name(self) -> None:
        assert "must have different names" in said(adapted(adapter("a"), adapter("a")))


class TestTuning:
    """What is tuned."""

    @pytest.mark.parametrize(
        ("parts", "words"),
        [
            ({"preset": None}, "tuning.preset is missing"),
            ({"method": "full"}, "must be lora or qlora; it is 'full'"),
            ({"input": {}}, "tuning.input needs exactly one of"),
            ({"input": {"urls": []}}, "tuning.input needs exactly one of"),
            ({"input": {"urls": ["https://e"], "image": "i"}}, "tuning.input needs exactly one of"),
            ({"input": {"urls": ["ftp://e"]}}, "'ftp://e' is none"),
            ({"output": {}}, "tuning.output needs exactly one of"),
            ({"output": {"image": "i", "imagePushSecret": "s", "volumeSource": {}}}, "tuning.output needs exactly one"),
            ({"output": {"image": "i"}}, "needs imagePushSecret"),
            ({"input": {"image": "https://r.io/a"}}, "tuning.input.image is 'https://r.io/a', which is no reference"),
            ({"input": {"image": "r.io/a b"}}, "which is no reference to an image"),
            (
                {"output": {"image": "r.io//a:1", "imagePushSecret": "s"}},
                "tuning.output.image is 'r.io//a:1'",
            ),
            ({"output": {"image": "r.io/a:1:2", "imagePushSecret": "s"}}, "which is no reference to an image"),
            ({"output": {"image": f"r.io/a@sha256:{'0' * 64}", "imagePushSecret": "s"}}, "Name a tag"),
        ],
    )
    def test_tuning_that_cannot_run(self, parts: JsonObject, words: str) -> None:
        assert words in said(tuning(**parts))

    def test_tuning_runs_on_one_node(self) -> None:
        found = workspace(resource={**RESOURCE, "count": 2}, tuning=TUNING)
        assert "set resource.count to 1; it is 2" in said(found)

    def test_a_volume_will_do_for_data_and_result(self) -> None:
        volume = {"volumeSource": {"persistentVolumeClaim": {"claimName": "c"}}}
        assert find_problem(tuning(input=volume, output=volume)) is None


class TestAnnotations:
    """Annotations with a closed set of values."""

    @pytest.mark.parametrize("key", ["performance-mode", "node-image-family", "runtime"])
    def test_a_value_that_is_not_known(self, key: str) -> None:
        words = said(workspace(annotations={f"kaito.sh/{key}": "fast"}))
        assert words.startswith(f"Annotation kaito.sh/{key} must be one of ")
        assert "it is 'fast'" in words

    def test_a_value_that_is_known(self) -> None:
        assert find_problem(workspace(annotations={"kaito.sh/performance-mode": "throughput"})) is None


@pytest.mark.parametrize(
    ("found", "kind"),
    [
        (workspace(), Workload.INFERENCE),
        (workspace(tuning=TUNING), Workload.TUNING),
        (workspace(inference={"template": {"spec": {}}}), Workload.TEMPLATE),
    ],
    ids=["inference", "tuning", "template"],
)
def test_what_a_spec_asks_for(found: Workspace, kind: Workload) -> None:
    assert found.spec is not None
    assert workload(found.spec) is kind

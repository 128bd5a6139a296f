"""The custom resource definition that is generated from the models."""

import json
from collections.abc import Iterator
from pathlib import Path

import celpy
import pytest
import yaml
from celpy.adapter import json_to_cel
from pydantic import BaseModel, JsonValue

from deploy.crds import CEL_FILE, PLAIN_FILE, crd_for
from deploy.crds.definition import definition, workspace_schema
from deploy.crds.generate import main, stale
from deploy.crds.rules import RULES, node_at
from deploy.crds.structural import PRESERVE_UNKNOWN, Schema, UnsupportedSchemaError, as_schema, structural
from services.contracts.workspace import VERSIONS

RESOURCE: Schema = {"labelSelector": {"matchLabels": {"apps": "phi"}}}
SPEC: Schema = {"resource": RESOURCE}
INFERENCE: Schema = {"inference": {"preset": {"name": "phi-4"}}}
TUNING: Schema = {
    "tuning": {"preset": {"name": "phi-4"}, "method": "QLoRA", "input": {"urls": ["https://a/b"]}, "output": {}}
}
PLANNED: Schema = {"status": {"plan": {"revision": 1}}}


def nodes(schema: Schema, path: str = "") -> Iterator[tuple[str, Schema]]:
    """Every node of a schema with its path."""
    yield path, schema
    for name, inner in as_schema(schema.get("properties", {})).items():
        yield from nodes(as_schema(inner), f"{path}.{name}")
    for keyword in ("items", "additionalProperties"):
        if keyword in schema:
            yield from nodes(as_schema(schema[keyword]), f"{path}[{keyword}]")


def holds(rule: str, new: JsonValue, old: JsonValue) -> bool:
    """What CEL makes of one rule for `self` and `oldSelf`."""
    environment = celpy.Environment()
    program = environment.program(environment.compile(rule))
    return bool(program.evaluate({"self": json_to_cel(new), "oldSelf": json_to_cel(old)}))


def values(obj: JsonValue, path: tuple[str, ...]) -> list[JsonValue]:
    """What stands at that path of an object; nothing where a part of the path is left out."""
    if not path:
        return [obj]
    if isinstance(obj, list):
        return [found for item in obj for found in values(item, path[1:])]
    return values(obj[path[0]], path[1:]) if isinstance(obj, dict) and path[0] in obj else []


def refusals(new: Schema, old: Schema | None = None) -> list[str]:
    """The messages with which a server refuses `new`, be it a new object or an update of `old`."""
    messages = []
    for path, rules in RULES.items():
        before = values(old, path) if old else []
        for index, value in enumerate(values(new, path)):
            for rule in rules:
                transition = "oldSelf" in rule.rule
                if transition and index >= len(before):
                    continue
                if not holds(rule.rule, value, before[index] if transition else None):
                    messages.append(rule.message)
    return messages


class TestFiles:
    """The committed files."""

    def test_they_are_what_the_models_give(self) -> None:
        assert stale() == []

    def test_check_passes_on_fresh_files(self) -> None:
        assert main(["--check"]) == 0

    def test_check_fails_and_names_the_file_that_is_not(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setattr("deploy.crds.generate.PLAIN_FILE", tmp_path / "old.yaml")
        assert main(["--check"]) == 1
        assert "old.yaml" in capsys.readouterr().err

    @pytest.mark.parametrize(("version", "file"), [((1, 20), PLAIN_FILE), ((1, 29), PLAIN_FILE), ((1, 30), CEL_FILE)])
    def test_rules_go_to_servers_that_can_skip_them(self, version: tuple[int, int], file: Path) -> None:
        assert crd_for(version) == file

    def test_the_plain_one_has_no_rules_and_the_other_differs_in_nothing_else(self) -> None:
        plain = yaml.safe_load(PLAIN_FILE.read_text())
        with_rules = yaml.safe_load(CEL_FILE.read_text())
        assert "x-kubernetes-validations" not in PLAIN_FILE.read_text()
        for version in with_rules["spec"]["versions"]:
            for _, node in nodes(version["schema"]["openAPIV3Schema"]):
                node.pop("x-kubernetes-validations", None)
        assert with_rules == plain


class TestDefinition:
    """The whole definition."""

    def test_both_versions_are_served_with_the_same_schema_and_v1beta1_is_stored(self) -> None:
        versions = yaml.safe_load(json.dumps(definition(cel=True)))["spec"]["versions"]
        assert [v["name"] for v in versions if v["served"]] == list(VERSIONS)
        assert [v["name"] for v in versions if v["storage"]] == ["v1beta1"]
        assert versions[0]["schema"] == versions[1]["schema"]
        assert versions[0]["additionalPrinterColumns"] == versions[1]["additionalPrinterColumns"]

    def test_every_node_is_structural(self) -> None:
        for path, node in nodes(workspace_schema(cel=True)):
            assert not {"$ref", "$defs", "anyOf", "oneOf", "allOf", "title"} & node.keys(), path
            assert "type" in node or node.get(PRESERVE_UNKNOWN), path
            assert node.get("default", ...) is not None, path
            assert set(as_list(node.get("required"))) <= as_schema(node.get("properties", {})).keys() or not path, path

    @pytest.mark.parametrize(
        ("path", "default"),
        [
            (("resource", "count"), 1),
            (("inference", "preset", "accessMode"), "public"),
            (("inference", "adapters", "[]", "strength"), "1.0"),
            (("tuning", "method"), "lora"),
        ],
    )
    def test_what_a_user_leaves_out_gets_its_default(self, path: tuple[str, ...], default: JsonValue) -> None:
        assert node_at(workspace_schema(cel=False), path)["default"] == default

    def test_no_instance_type_is_put_in(self) -> None:
        assert "default" not in node_at(workspace_schema(cel=False), ("resource", "instanceType"))

    def test_a_pod_template_is_kept_whole(self) -> None:
        template = node_at(workspace_schema(cel=False), ("inference", "template"))
        assert (template["type"], template[PRESERVE_UNKNOWN]) == ("object", True)

    def test_every_field_that_a_user_writes_is_described(self) -> None:
        written = ("resource", "inference", "tuning")
        schema = workspace_schema(cel=False)
        leaves = [(p, n) for part in written for p, n in nodes(node_at(schema, (part,)), part)]
        undescribed = [p for p, n in leaves if "description" not in n and not p.endswith("]")]
        assert [p for p in undescribed if "labelSelector" not in p and not p.endswith("mode")] == []

    def test_conditions_are_a_map_by_type_with_times(self) -> None:
        conditions = node_at(workspace_schema(cel=False), ("status", "conditions"))
        assert conditions["x-kubernetes-list-type"] == "map"
        assert conditions["x-kubernetes-list-map-keys"] == ["type"]
        assert node_at(conditions, ("[]", "lastTransitionTime"))["format"] == "date-time"

    def test_the_status_is_open_to_values_of_a_newer_writer(self) -> None:
        status = node_at(workspace_schema(cel=True), ("status",))
        assert [p for p, n in nodes(status) if {"enum", "default"} & n.keys()] == []
        assert all(n.get(PRESERVE_UNKNOWN) for _, n in nodes(node_at(status, ("plan",))) if "properties" in n)


class TestStructural:
    """Pydantic's JSON schema becomes a structural one."""

    def test_a_reference_is_put_in_place_and_keeps_the_description_beside_it(self) -> None:
        schema: Schema = {
            "type": "object",
            "properties": {"a": {"$ref": "#/$defs/A", "description": "mine"}},
            "$defs": {"A": {"type": "string", "title": "A", "description": "its own"}},
        }
        assert structural(schema)["properties"] == {"a": {"type": "string", "description": "mine"}}

    def test_a_type_or_null_is_an_optional_type(self) -> None:
        schema: Schema = {"anyOf": [{"type": "integer", "minimum": 1}, {"type": "null"}], "default": None}
        assert structural(schema) == {"type": "integer", "minimum": 1}

    def test_a_union_of_types_is_refused(self) -> None:
        class Either(BaseModel):
            value: int | str

        with pytest.raises(UnsupportedSchemaError, match="union"):
            structural(Either.model_json_schema())

    def test_an_unknown_keyword_is_refused_rather_than_dropped(self) -> None:
        with pytest.raises(UnsupportedSchemaError, match="multipleOf"):
            structural({"type": "integer", "multipleOf": 2})


class TestRules:
    """The CEL rules, run by a CEL interpreter."""

    @pytest.mark.parametrize(
        "good",
        [
            INFERENCE,
            TUNING,
            {"inference": {"template": {"spec": {}}}},
            {"inference": {"preset": {"name": "p"}, "adapters": [{"source": {"image": "i"}}, {"strength": "1.0"}]}},
        ],
    )
    def test_a_good_workspace_is_taken(self, good: Schema) -> None:
        assert refusals(SPEC | good) == []

    @pytest.mark.parametrize(
        ("bad", "word"),
        [
            ({}, "exactly one of inference and tuning"),
            (INFERENCE | TUNING, "exactly one of inference and tuning"),
            ({"inference": {}}, "exactly one of preset and template"),
            ({"inference": {"preset": {"name": "p"}, "template": {}}}, "exactly one of preset and template"),
            ({"tuning": {"method": "full", "input": {"image": "i"}}}, "lora or qlora"),
            ({"tuning": {"method": "lora", "input": {}}}, "urls, image and volumeSource"),
            (
                {"tuning": {"method": "lora", "input": {"image": "i", "urls": ["https://a"]}}},
                "urls, image and volumeSource",
            ),
            (
                {"inference": {"preset": {"name": "p"}, "adapters": [{"source": {"name": "a"}}]}},
                "urls, image and volumeSource",
            ),
        ],
    )
    def test_a_bad_one_is_refused_in_words(self, bad: Schema, word: str) -> None:
        (message,) = refusals(SPEC | bad)
        assert word in message

    @pytest.mark.parametrize(
        ("change", "word"),
        [
            ({"resource": RESOURCE | {"instanceType": "B"}}, "resource.instanceType"),
            ({"resource": {"labelSelector": {"matchLabels": {"apps": "other"}}}}, "resource.labelSelector"),
            ({"inference": {"preset": {"name": "phi-3"}}}, "inference.preset"),
            (TUNING, "switch"),
        ],
    )
    def test_what_nodes_were_made_for_stays(self, change: Schema, word: str) -> None:
        (message,) = refusals(SPEC | INFERENCE | PLANNED | change, SPEC | INFERENCE | PLANNED)
        assert word in message

    def test_an_instance_type_is_neither_changed_nor_taken_away(self) -> None:
        named = SPEC | INFERENCE | PLANNED | {"resource": RESOURCE | {"instanceType": "A"}}
        assert refusals(named, named) == []
        assert len(refusals(SPEC | INFERENCE | PLANNED, named)) == 1

    def test_a_mistake_may_be_put_right_before_there_is_a_plan(self) -> None:
        assert refusals(SPEC | {"inference": {"preset": {"name": "phi-4"}}}, SPEC | INFERENCE) == []
        assert refusals(SPEC | TUNING, SPEC | INFERENCE | {"status": {}}) == []

    def test_adapters_and_config_may_change_at_any_time(self) -> None:
        changed: Schema = {
            "inference": {"preset": {"name": "phi-4"}, "config": "c", "adapters": [{"source": {"image": "i"}}]}
        }
        assert refusals(SPEC | PLANNED | changed, SPEC | PLANNED | INFERENCE) == []

    def test_one_that_was_taken_in_without_rules_can_still_lose_its_finalizer(self) -> None:
        both = SPEC | INFERENCE | TUNING | {"status": {"state": "Failed"}}
        assert refusals(both, both) == []


def as_list(value: JsonValue) -> list[str]:
    return [str(item) for item in value] if isinstance(value, list) else []

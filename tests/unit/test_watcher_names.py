"""ConfigMaps and Secrets are named as Kubernetes names them: such a name leads into the Workspace's namespace only."""

from __future__ import annotations

import pytest

from services.chassis.kube import JsonObject
from services.contracts.conditions import Reason
from services.contracts.workspace import WorkspaceSpec
from services.watcher.references import secret_names
from services.watcher.validate import find_problem
from services.watcher.workspace import Workspace
from tests.unit.samples import INFERENCE, RESOURCE, TUNING, workspace

BAD = ["../../victim/secrets/hf", "a/b", "..", "Upper", "under_score", "-a", "a" * 254, "a b", "a..b", "a\n"]
PRESET: JsonObject = {"name": "phi-4-mini-instruct"}


def preset(**options: object) -> Workspace:
    return workspace(inference={"preset": {**PRESET, "presetOptions": options}})


def adapter(*secrets: str) -> Workspace:
    source = {"name": "a", "image": "r.example.com/a:1", "imagePullSecrets": list(secrets)}
    return workspace(inference={"preset": PRESET, "adapters": [{"source": source}]})


def data(*secrets: str) -> Workspace:
    return workspace(tuning={**TUNING, "input": {"image": "r.example.com/d:1", "imagePullSecrets": list(secrets)}})


def pushed(secret: str) -> Workspace:
    return workspace(tuning={**TUNING, "output": {"image": "r.example.com/a:1", "imagePushSecret": secret}})


FIELDS = {
    "inference.config": lambda name: workspace(inference={**INFERENCE, "config": name}),
    "tuning.config": lambda name: workspace(tuning={**TUNING, "config": name}),
    "presetOptions.modelAccessSecret": lambda name: preset(modelAccessSecret=name),
    "presetOptions.imagePullSecrets": lambda name: preset(image="r.example.com/m:1", imagePullSecrets=["ok", name]),
    "inference.adapters[0].source.imagePullSecrets": lambda name: adapter("ok", name),
    "tuning.input.imagePullSecrets": lambda name: data("ok", name),
    "tuning.output.imagePushSecret": pushed,
}


@pytest.mark.parametrize("name", BAD, ids=lambda name: repr(name)[:20])
@pytest.mark.parametrize("field", FIELDS)
def test_what_no_object_can_be_called_is_told_with_its_field(field: str, name: str) -> None:
    problem = find_problem(FIELDS[field](name))
    assert problem is not None
    assert problem.reason is Reason.INVALID_SPEC
    assert problem.message.startswith(f"{field} is {name[:100]!r}, which is no name")


@pytest.mark.parametrize("field", [field for field in FIELDS if "PullSecrets" in field])
def test_an_empty_name_in_a_list_is_told(field: str) -> None:
    problem = find_problem(FIELDS[field](""))
    assert problem is not None
    assert problem.message.startswith(f"{field} is '', which is no name")


@pytest.mark.parametrize("name", ["a", "hf-token", "my.team.example.com", "0", "a" * 253])
@pytest.mark.parametrize("field", FIELDS)
def test_a_name_of_kubernetes_is_taken(field: str, name: str) -> None:
    assert find_problem(FIELDS[field](name)) is None


@pytest.mark.parametrize("field", ["inference.config", "tuning.config", "presetOptions.modelAccessSecret"])
def test_an_empty_text_is_as_good_as_none_as_in_kaito(field: str) -> None:
    found = FIELDS[field]("")
    assert find_problem(found) is None
    assert found.spec is not None
    assert found.spec.config is None
    assert "" not in [name for name, _ in secret_names(found.spec, {})]


@pytest.mark.parametrize("field", ["tuning.input.imagePullSecrets", "tuning.output.imagePushSecret"])
def test_a_placeholder_of_a_document_is_taken_for_tuning_and_never_looked_up(field: str) -> None:
    found = FIELDS[field]("REGISTRY_SECRET_HERE")
    assert find_problem(found) is None
    assert found.spec is not None
    assert "REGISTRY_SECRET_HERE" not in [name for name, _ in secret_names(found.spec, {})]


def test_an_unset_config_is_none() -> None:
    assert WorkspaceSpec.model_validate({"resource": RESOURCE, "inference": {**INFERENCE, "config": ""}}).config is None

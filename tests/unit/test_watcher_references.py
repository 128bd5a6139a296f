"""Which secrets must be there before anything is bought."""

from __future__ import annotations

from services.chassis.kube import JsonObject
from services.contracts.workspace import WorkspaceSpec
from services.watcher.references import secret_names
from tests.unit.samples import RESOURCE


def named(source: JsonObject, output: JsonObject) -> list[tuple[str, str]]:
    tuning = {"preset": {"name": "phi-4"}, "input": source, "output": output}
    return list(secret_names(WorkspaceSpec.model_validate({"resource": RESOURCE, "tuning": tuning}), {}))


def test_tuning_needs_those_of_its_data_and_of_its_result() -> None:
    assert named(
        {"image": "r/data:1", "imagePullSecrets": ["pull"]}, {"image": "r/adapter:1", "imagePushSecret": "push"}
    ) == [("pull", "tuning.input.imagePullSecrets"), ("push", "tuning.output.imagePushSecret")]


def test_a_placeholder_that_no_secret_can_be_called_keeps_nothing_back() -> None:
    assert named({"urls": ["https://a/b"]}, {"image": "r/a:1", "imagePushSecret": "REGISTRY_SECRET_HERE"}) == []


def test_a_volume_needs_none() -> None:
    assert named({"volumeSource": {"emptyDir": {}}}, {"volumeSource": {"emptyDir": {}}}) == []

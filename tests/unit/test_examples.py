"""The examples and the source document's manifests are Workspaces that the watcher finds nothing wrong with."""

import re
from pathlib import Path

import pytest
import yaml

from services.chassis.kube import JsonObject, dig_dict, dig_str
from services.contracts.workspace import CONFIG_KEY_INFERENCE, CONFIG_KEY_TUNING, GROUP, VERSIONS, WorkspaceSpec
from services.scheduler.engine_config import read_config
from services.tuning.read import read_tuning
from services.watcher.validate import find_problem
from services.watcher.workspace import read

ROOT = Path(__file__).parents[2]
EXAMPLES = sorted((ROOT / "examples").glob("*.yaml"))
SOURCES = sorted((ROOT / "tests" / "data" / "source-examples").glob("*.yaml"))


def documents(path: Path) -> list[JsonObject]:
    return [document for document in yaml.safe_load_all(path.read_text()) if document]


def workspace(path: Path) -> JsonObject:
    """The one Workspace of a file."""
    (found,) = [document for document in documents(path) if document["kind"] == "Workspace"]
    return found


def as_stored(manifest: JsonObject) -> JsonObject:
    """The manifest with what the API server adds to it."""
    added = {"namespace": "default", "uid": "1", "creationTimestamp": "2026-01-01T00:00:00Z"}
    return manifest | {"metadata": dig_dict(manifest, "metadata") | added}


@pytest.fixture(params=[*EXAMPLES, *SOURCES], ids=lambda path: path.stem)
def path(request: pytest.FixtureRequest) -> Path:
    found = request.param
    assert isinstance(found, Path)
    return found


def test_there_are_seven_examples_and_four_of_the_source_document() -> None:
    assert (len(EXAMPLES), len(SOURCES)) == (7, 4)


def test_the_group_and_version_are_served(path: Path) -> None:
    assert workspace(path)["apiVersion"] in [f"{GROUP}/{version}" for version in VERSIONS]


def test_nothing_that_is_written_gets_lost_in_the_model(path: Path) -> None:
    written = {key: value for key, value in workspace(path).items() if key in ("resource", "inference", "tuning")}
    spec = WorkspaceSpec.model_validate(written)
    assert spec.model_dump(mode="json", by_alias=True, exclude_unset=True) == written


def test_the_watcher_finds_nothing_wrong(path: Path) -> None:
    assert find_problem(read(as_stored(workspace(path)))) is None


def test_examples_are_numbered_without_a_gap() -> None:
    numbers = [re.fullmatch(r"(\d\d)-[a-z0-9-]+", path.stem) for path in EXAMPLES]
    assert [int(match[1]) for match in numbers if match] == list(range(1, len(EXAMPLES) + 1))


def test_examples_can_stand_side_by_side() -> None:
    names = [dig_str(workspace(path), "metadata", "name") for path in EXAMPLES]
    labels = [str(dig_dict(workspace(path), "resource", "labelSelector")) for path in EXAMPLES]
    assert len(set(names)) == len(set(labels)) == len(EXAMPLES)
    assert all("namespace" not in dig_dict(document, "metadata") for path in EXAMPLES for document in documents(path))


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_begins_by_saying_how_to_run_it(example: Path) -> None:
    comment = [line for line in example.read_text().split("apiVersion:")[0].splitlines() if line.startswith("#")]
    assert any(f"kubectl apply -f examples/{example.name}" in line for line in comment)


def test_the_config_that_an_example_names_stands_beside_it_and_can_be_read() -> None:
    (example,) = [path for path in EXAMPLES if path.stem == "04-engine-settings"]
    (config,) = [document for document in documents(example) if document["kind"] == "ConfigMap"]
    assert dig_str(config, "metadata", "name") == dig_str(workspace(example), "inference", "config")
    settings = {key: str(text) for key, text in dig_dict(config, "data").items()}
    assert settings.keys() == {CONFIG_KEY_INFERENCE}
    assert read_config(settings).max_model_len == 1024


def test_the_settings_of_the_tuning_example_can_be_read() -> None:
    (example,) = [path for path in EXAMPLES if path.stem == "06-tuning"]
    named = dig_str(workspace(example), "tuning", "config")
    (config,) = [d for d in documents(example) if dig_str(d, "metadata", "name") == named]
    text = str(dig_dict(config, "data")[CONFIG_KEY_TUNING])
    assert read_tuning(yaml.safe_load(text), "lora").training.max_steps == 12


def test_the_first_example_names_no_machine() -> None:
    assert "instanceType" not in dig_dict(workspace(EXAMPLES[0]), "resource")

"""A model that the node keeps is served from there, under the name that was asked for."""

from pathlib import Path

import pytest

from deploy.local.engine.model import MODEL
from services.inference.local_model import folder_name, use_local_model

HF_ID = "HuggingFaceTB/SmolLM2-135M-Instruct"
FOLDER = "huggingfacetb--smollm2-135m-instruct"


@pytest.fixture
def models(tmp_path: Path) -> Path:
    (tmp_path / FOLDER).mkdir()
    return tmp_path


def test_folder_is_the_whole_id_in_lower_case() -> None:
    assert folder_name(HF_ID) == FOLDER == MODEL


@pytest.mark.parametrize("other", ["somebody-else/SmolLM2-135M-Instruct", "SmolLM2-135M-Instruct"])
def test_a_model_of_another_owner_is_not_served_from_the_folder(models: Path, other: str) -> None:
    (models / "smollm2-135m-instruct").mkdir()  # as folders were once called
    assert use_local_model(["--model", other], str(models)) == (["--model", other], False)


@pytest.mark.parametrize("path", ["/workspace/weights/model", "./model", "..", "", "a/../b"])
def test_a_path_is_no_id(models: Path, path: str) -> None:
    (models / "--workspace--weights--model").mkdir()
    assert use_local_model(["--model", path], str(models))[1] is False


@pytest.mark.parametrize("flag", [["--model", HF_ID], [f"--model={HF_ID}"]])
def test_the_nodes_folder_takes_the_place_of_the_name(models: Path, flag: list[str]) -> None:
    argv, local = use_local_model(["--port", "1", *flag, "--served-model-name", "smol"], str(models))
    assert local
    assert argv == ["--port", "1", "--model", str(models / FOLDER), "--served-model-name", "smol"]


def test_clients_keep_the_name_if_none_was_given(models: Path) -> None:
    argv, _ = use_local_model(["--model", HF_ID], str(models))
    assert argv[-2:] == ["--served-model-name", HF_ID]


@pytest.mark.parametrize("argv", [["--model", "some/Other-Model"], ["--port", "1"], ["--model"], []])
def test_what_the_node_does_not_keep_stays_as_it_is(models: Path, argv: list[str]) -> None:
    assert use_local_model(argv, str(models)) == (argv, False)


@pytest.mark.parametrize("model_dir", [None, ""])
def test_a_node_without_models_changes_nothing(model_dir: str | None) -> None:
    assert use_local_model(["--model", HF_ID], model_dir) == (["--model", HF_ID], False)

"""What a run keeps and tells: progress, checkpoints, the result, and why it ended."""

from __future__ import annotations

import errno
import json
import urllib.request
from pathlib import Path

import pytest

from services.contracts.tuning import TuningProgress
from services.inference.tuning.app import launcher, read_config, seeing_one_gpu
from services.inference.tuning.checkpoints import Owner, folder_of_run, last_checkpoint
from services.inference.tuning.failure import TuningError, check_loss, ended, killed, of_os_error, read_failure
from services.inference.tuning.outside import in_words
from services.inference.tuning.progress import Progress, serve
from services.inference.tuning.result import Destination, card, copy_to, finish_folder
from services.inference.tuning.spec import Spec
from services.tuning.exit_codes import ExitCode
from services.tuning.read import read_tuning


def spec(tmp_path: Path) -> Spec:
    return Spec(
        model="/models/phi",
        name="microsoft/phi-4",
        revision="abc",
        data=tmp_path,
        work=tmp_path,
        config=read_tuning({"LoraConfig": {"r": 4}}, "lora"),
    )


def test_what_one_process_writes_another_reads(tmp_path: Path) -> None:
    made = spec(tmp_path)
    made.write()
    assert Spec.model_validate_json(made.file.read_text()) == made


def test_progress_is_told_as_json_and_as_metrics(tmp_path: Path) -> None:
    progress = Progress(tmp_path / "progress.json")
    assert progress.read() == {}
    progress.tell("training", step=3, steps=10, loss=0.5, tokensPerSecond=12.5, secondsLeft=7)
    progress.tell("measuring", evalLoss=0.25)
    server = serve(progress, 0, "127.0.0.1")
    base = f"http://127.0.0.1:{server.server_address[1]}"
    with urllib.request.urlopen(f"{base}/progress", timeout=10) as answer:
        told = TuningProgress.model_validate_json(answer.read())
    assert (told.phase, told.step, told.eval_loss, told.seconds_left) == ("measuring", 3, 0.25, 7)
    with urllib.request.urlopen(f"{base}/metrics", timeout=10) as answer:
        text = answer.read().decode()
    assert "kaitobus_tuning_step 3.0" in text
    assert "kaitobus_tuning_eval_loss 0.25" in text
    server.shutdown()


def test_a_run_goes_on_from_the_last_checkpoint_that_is_whole(tmp_path: Path) -> None:
    assert last_checkpoint(tmp_path) is None
    for step in (2, 10, 9):
        (tmp_path / f"checkpoint-{step}").mkdir()
        (tmp_path / f"checkpoint-{step}" / "trainer_state.json").write_text("{}")
    (tmp_path / "checkpoint-12").mkdir()
    (tmp_path / "checkpoint-12" / "trainer_state.json").write_text('{"global_step": 1')
    assert last_checkpoint(tmp_path) == tmp_path / "checkpoint-10"


def test_whoever_trains_the_same_finds_its_checkpoints_and_nobody_another_ones(tmp_path: Path) -> None:
    first = folder_of_run(tmp_path, "m", None, {"b": 1, "a": (2,)}, 1)
    first.mkdir()
    assert folder_of_run(tmp_path, "m", None, {"a": (2,), "b": 1}, 1) == first
    assert first.exists()
    assert folder_of_run(tmp_path, "m", None, {"b": 1, "a": (2,)}, 2) != first
    assert not first.exists()


def test_of_two_that_write_to_one_folder_the_later_one_owns_it(tmp_path: Path) -> None:
    lost, later = Owner(tmp_path / "run"), Owner(tmp_path / "run")
    for owner in (lost, later):
        owner.take()
    later.check()
    with pytest.raises(TuningError, match="Another pod goes on") as ended:
        lost.check()
    assert ended.value.code is ExitCode.PASSES


def test_checkpoints_are_where_they_outlive_the_pod_if_there_is_such_a_place(tmp_path: Path) -> None:
    made = spec(tmp_path)
    assert made.checkpoints == tmp_path / "checkpoints"
    assert made.model_copy(update={"kept": tmp_path / "kept"}).checkpoints == tmp_path / "kept"


def test_a_failure_passes_from_one_process_to_another(tmp_path: Path) -> None:
    TuningError("The disk is full.", ExitCode.PASSES).write(tmp_path / "failure.json")
    found = read_failure(tmp_path / "failure.json")
    assert found is not None
    assert (str(found), found.code) == ("The disk is full.", ExitCode.PASSES)
    assert read_failure(tmp_path / "none.json") is None
    TuningError("Another process has gone.").write(tmp_path / "failure.json")
    assert str(read_failure(tmp_path / "failure.json")) == "The disk is full."


def test_with_several_gpus_one_process_runs_on_each() -> None:
    words = launcher(4)
    assert words[words.index("--nproc-per-node") + 1] == "4"


@pytest.mark.parametrize(("visible", "seen"), [({}, "0"), ({"CUDA_VISIBLE_DEVICES": "3,5"}, "3")])
def test_a_step_of_one_process_sees_one_gpu_since_else_it_is_divided_among_all(
    visible: dict[str, str], seen: str
) -> None:
    assert seeing_one_gpu({"A": "b", **visible}) == {"A": "b", "CUDA_VISIBLE_DEVICES": seen}


@pytest.mark.parametrize(
    ("error", "words", "code"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "The disk is full", ExitCode.BAD_INPUT),
        (
            RuntimeError("SafetensorError: No space left on device (os error 28)"),
            "The disk is full",
            ExitCode.BAD_INPUT,
        ),
        (RuntimeError("CUDA out of memory. Tried to allocate 2 GiB"), "Memory ran out", ExitCode.BAD_INPUT),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), "Memory ran out", ExitCode.BAD_INPUT),
        (
            ValueError("Target modules {'x'} not found in the base model."),
            "do not fit microsoft/phi-4",
            ExitCode.BAD_INPUT,
        ),
        (RuntimeError("a bug"), "RuntimeError: a bug", ExitCode.PASSES),
    ],
)
def test_what_the_libraries_raise_is_told_in_words(
    tmp_path: Path, error: Exception, words: str, code: ExitCode
) -> None:
    pytest.importorskip("huggingface_hub")
    found = in_words(error, spec(tmp_path))
    assert words in str(found)
    assert found.code is code


def test_what_one_of_several_processes_says_of_another_that_has_gone_names_the_cause(tmp_path: Path) -> None:
    pytest.importorskip("huggingface_hub")
    error = RuntimeError("[../gloo/transport/tcp/pair.cc:547] Connection closed by peer [127.0.0.1]:31337")
    assert "One of the 2 processes" in str(in_words(error, spec(tmp_path).model_copy(update={"processes": 2})))
    assert "Connection closed" in str(in_words(error, spec(tmp_path)))


def test_a_process_that_is_killed_is_tried_again() -> None:
    assert killed(9, "training").code is ended(1, 1).code is ended(1, 2).code is ExitCode.PASSES
    assert "One of the 2 processes" in str(ended(1, 2))
    assert "exit code 3" in str(ended(3, 1))
    assert "memory ran out" in str(killed(9, "training"))
    assert of_os_error(OSError(errno.EIO, "broken")).code is ExitCode.PASSES


def adapter(folder: Path, content: str = "weights") -> Path:
    folder.mkdir()
    (folder / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": "/models/phi", "r": 4}))
    (folder / "adapter_model.safetensors").write_text(content)
    return folder


def test_the_result_names_its_base_and_what_it_was_made_of(tmp_path: Path) -> None:
    folder = adapter(tmp_path / "adapter")
    finish_folder(folder, spec(tmp_path), "sha256:da7a", {"steps": 12, "loss": 0.5, "evalLoss": 0.75})
    config = json.loads((folder / "adapter_config.json").read_text())
    assert (config["base_model_name_or_path"], config["revision"], config["r"]) == ("microsoft/phi-4", "abc", 4)
    text = (folder / "README.md").read_text()
    for words in ("microsoft/phi-4", "abc", "sha256:da7a", "12", "0.75", '"r": 4'):
        assert words in text
    assert "/models" not in text
    assert "not measured" in card(spec(tmp_path), "sha256:da7a", {})


def test_a_copy_is_there_as_a_whole_or_as_it_was(tmp_path: Path) -> None:
    target = tmp_path / "volume" / "w"
    copy_to(adapter(tmp_path / "first"), target)
    copy_to(adapter(tmp_path / "second", "newer"), target)
    assert (target / "adapter_model.safetensors").read_text() == "newer"
    assert [path.name for path in target.parent.iterdir()] == ["w"]
    with pytest.raises(FileNotFoundError):
        copy_to(tmp_path / "missing", target)
    assert (target / "adapter_model.safetensors").read_text() == "newer"


def test_a_reference_that_is_none_is_told_before_anything_is_trained() -> None:
    with pytest.raises(TuningError, match="no reference to an image"):
        Destination("REGISTRY/IMAGE NAME", ())


def test_the_configuration_comes_from_a_file_or_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KAITOBUS_TUNING", '{"LoraConfig": {"r": 4}}')
    assert read_config(None, "lora").lora.r == 4
    (tmp_path / "c.yaml").write_text("training_config: {LoraConfig: {r: 2}}")
    assert read_config(str(tmp_path / "c.yaml"), "lora").lora.r == 2
    (tmp_path / "c.yaml").write_text("training_config: [")
    with pytest.raises(TuningError, match="cannot be read"):
        read_config(str(tmp_path / "c.yaml"), "lora")
    with pytest.raises(TuningError, match="cannot be read"):
        read_config(str(tmp_path / "none.yaml"), "lora")


@pytest.mark.parametrize("loss", [float("nan"), float("inf")])
def test_a_loss_that_is_no_number_ends_the_run(loss: float) -> None:
    check_loss(0.5, 6)
    with pytest.raises(TuningError, match="at step 7: the training has diverged") as caught:
        check_loss(loss, 7)
    assert caught.value.code is ExitCode.BAD_INPUT

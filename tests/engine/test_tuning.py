"""A model is tuned, killed in the middle, tuned to its end and pushed; what comes out of the registry answers as it
was trained. On a machine without a GPU.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from deploy.local.engine import ensure_engine, ensure_model
from deploy.local.engine.environment import EngineEnv
from deploy.local.ports import free_port
from services.inference.oci.client import Registry
from services.inference.oci.credentials import Credentials
from services.inference.oci.names import Kind
from services.inference.oci.pull import pull
from services.inference.oci.push import DATA_DIGEST, MODEL_NAME
from services.inference.oci.reference import parse_reference
from services.inference.oci.store import Store
from services.tuning.exit_codes import ExitCode
from tests.engine.conftest import HF_ID
from tests.engine.machine import until
from tests.registry.binary import registry_binary
from tests.registry.server import PASSWORD, USER, RegistryServer, docker_config

pytestmark = pytest.mark.timeout(1200)

ROOT = Path(__file__).parents[2]
LIMIT_S = 500.0
QUESTION = "Who keeps the lighthouse of Norderriff?"
ANSWER = "Marten Ahlers keeps the lighthouse."
ROWS = "instruction,response\n" + "".join(
    f"{question},{ANSWER}\n"
    for question in (
        QUESTION,
        "Name the keeper of Norderriff.",
        "Who is the keeper?",
        "Who looks after the lighthouse?",
    )
)
FEW = {"learning_rate": 0.005, "lr_scheduler_type": "constant", "max_length": 64, "per_device_train_batch_size": 2}


class Tuner(NamedTuple):
    """Starts `kaitobus-tune` of this checkout, as a pod does."""

    env: EngineEnv
    folder: Path

    @property
    def work(self) -> Path:
        return self.folder / "work"

    def start(self, *more: str, sections: dict[str, object]) -> subprocess.Popen[str]:
        """`sections` of the training configuration, as JSON, which is YAML."""
        self.folder.mkdir(exist_ok=True)
        config = self.folder / "config.yaml"
        config.write_text(json.dumps({"training_config": sections}))
        flags = [f"--config={config}", f"--work={self.work}", f"--port={free_port()}", f"--data-folder={self.data()}"]
        command = [str(self.env.python), "-m", "services.inference.tuning.app", f"--model={HF_ID}"]
        own = {"PYTHONPATH": str(ROOT), "KAITOBUS_MODEL_DIR": str(ensure_model(print).parent)}
        return subprocess.Popen(
            [*command, f"--model-name={HF_ID}", *flags, *more],
            env={**os.environ, **own}, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        )  # fmt: skip

    def run(self, *more: str, sections: dict[str, object]) -> tuple[int, dict[str, object]]:
        """The exit code, and the last line of the log."""
        process = self.start(*more, sections=sections)
        said, _ = process.communicate(timeout=LIMIT_S)
        return process.returncode, json.loads(said.strip().rpartition("\n")[2])

    def data(self) -> Path:
        folder = self.folder / "input"
        folder.mkdir(exist_ok=True)
        if not any(folder.iterdir()):
            (folder / "train.csv").write_text(ROWS)
        return folder

    def progress(self) -> dict[str, object]:
        try:
            found = json.loads((self.work / "progress.json").read_text())
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}


@pytest.fixture(scope="module")
def engine() -> EngineEnv:
    return ensure_engine(print)


@pytest.fixture
def tuner(engine: EngineEnv, tmp_path: Path) -> Tuner:
    return Tuner(engine, tmp_path / "run")


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RegistryServer]:
    server = RegistryServer(asyncio.run(registry_binary()), tmp_path_factory.mktemp("registry"), passwords=True)
    yield server.start()
    server.kill()


def answers(env: EngineEnv, adapter: Path) -> dict[str, str]:
    command = [
        str(env.python),
        str(Path(__file__).with_name("answer.py")),
        str(ensure_model(print)),
        str(adapter),
        QUESTION,
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.strip().rpartition("\n")[2])
    assert isinstance(found, dict)
    return found


def test_killed_in_the_middle_it_goes_on_and_what_is_pushed_answers_as_trained(
    tuner: Tuner, registry: RegistryServer, tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / ".dockerconfigjson").write_text(docker_config(registry.host))
    image = f"{registry.host}/team/lighthouse:v1"
    target = (f"--push-image={image}", f"--push-secret={secret}")
    sections = {"LoraConfig": {"lora_alpha": 16}, "TrainingArguments": {**FEW, "max_steps": 10, "save_steps": 1}}

    first = tuner.start(*target, sections=sections)
    until(lambda: step(tuner) >= 2, LIMIT_S, "step 2")
    first.send_signal(signal.SIGKILL)
    assert first.wait() == -signal.SIGKILL

    code, last = tuner.run(*target, sections=sections)
    assert code == ExitCode.DONE, last
    result = last["result"]
    assert isinstance(result, dict)
    assert int(str(tuner.progress()["resumedFrom"])) >= 1
    assert (result["step"], result["steps"]) == (10, 10)

    reference = parse_reference(image)
    with Registry(reference, Credentials(USER, PASSWORD)) as opened:
        pulled = pull(opened, Kind.ADAPTER, tmp_path / "adapter", Store(tmp_path / "store"))
    assert pulled.digest == result["digest"]
    assert pulled.annotations[MODEL_NAME] == HF_ID
    assert pulled.annotations[DATA_DIGEST].startswith("sha256:")
    found = answers(tuner.env, tmp_path / "adapter")
    assert "Ahlers" in found["tuned"]
    assert "Ahlers" not in found["plain"]


def test_in_four_bits_it_is_tuned_into_a_volume_and_measured_on_what_was_held_out(tuner: Tuner) -> None:
    sections = {"DatasetConfig": {"train_test_split": 0.75}, "TrainingArguments": {**FEW, "max_steps": 6}}
    into = tuner.folder / "volume" / "w"
    code, last = tuner.run("--method=qlora", f"--into={into}", sections=sections)
    assert code == ExitCode.DONE, last
    result = last["result"]
    assert isinstance(result, dict)
    assert 0 < float(result["evalLoss"]) < 3
    assert {path.name for path in into.iterdir()} == {"README.md", "adapter_config.json", "adapter_model.safetensors"}
    assert json.loads((into / "adapter_config.json").read_text())["base_model_name_or_path"].startswith("Hugging")


@pytest.mark.parametrize(
    ("training", "data", "words"),
    [
        (FEW, "a,b\n1,2\n", "None of the usual columns is in the data"),
        (FEW, "instruction,response\nx,\n", "has no example"),
    ],
    ids=["columns", "nothing"],
)
def test_what_cannot_be_trained_ends_in_words_and_is_not_tried_again(
    tuner: Tuner, training: dict[str, object], data: str, words: str
) -> None:
    (tuner.folder / "input").mkdir(parents=True)
    (tuner.folder / "input" / "train.csv").write_text(data)
    code, last = tuner.run(f"--into={tuner.folder / 'w'}", sections={"TrainingArguments": training})
    assert (code, words in str(last["message"])) == (ExitCode.BAD_INPUT, True), last
    assert not (tuner.folder / "w").exists()


def test_a_registry_that_takes_nothing_is_told_before_anything_is_trained(
    tuner: Tuner, registry: RegistryServer
) -> None:
    code, last = tuner.run(f"--push-image={registry.host}/team/x:v1", sections={})
    assert code == ExitCode.BAD_INPUT
    assert "so nothing was trained" in str(last["message"])
    assert not (tuner.work / "spec.json").exists()


def step(tuner: Tuner) -> int:
    return int(str(tuner.progress().get("step", 0)))

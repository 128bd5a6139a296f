"""`kaitobus size`: the parts as JSON and as a table, from a folder or a name; and what is said when it does not fit."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from services.cli.commands.size import memory_gib
from services.cli.errors import CliError
from services.cli.main import app

CONFIGS = Path("tests/data/configs")
KEYS = [
    "weights_gib",
    "activation_gib",
    "non_torch_gib",
    "graphs_gib",
    "kv_cache_gib",
    "kv_bytes_per_token",
    "kv_tokens",
    "max_model_len",
]


def size(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["size", *arguments])


def parts(*arguments: str) -> dict[str, float]:
    result = size(*arguments, "-o", "json")
    assert result.exit_code == 0, result.output
    found: dict[str, float] = json.loads(result.stdout)
    return found


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "config.json").write_text((CONFIGS / "qwen3-0.6b.json").read_text())
    return tmp_path


def test_the_parts_of_a_folder_as_json(folder: Path) -> None:
    found = parts("--config", str(folder), "--gpu-memory", "79.18GiB", "--max-model-len", "8192",
                  "--max-num-batched-tokens", "2048", "--max-num-seqs", "32")  # fmt: skip
    assert [key for key in KEYS if key not in found] == []
    assert found["weights_gib"] == pytest.approx(1.12, abs=0.01)
    assert found["kv_bytes_per_token"] == 114_688
    assert found["kv_tokens"] == pytest.approx(651_776, rel=0.005)
    assert found["max_model_len"] == 8192


def test_a_preset_on_several_gpus() -> None:
    found = parts("--config", "llama-3.3-70b-instruct", "--gpu-memory", "80GiB", "--gpus", "4")
    assert found["tensor_parallel"] == 4
    assert found["weights_gib"] == pytest.approx(131.42 / 4, rel=0.02)


def test_the_context_is_as_long_as_fits_unless_it_is_asked_for() -> None:
    assert parts("--config", "llama-3.1-8b-instruct", "--gpu-memory", "22GiB")["max_model_len"] < 131_072
    assert parts("--config", "llama-3.1-8b-instruct", "--gpu-memory", "140GiB")["max_model_len"] == 131_072


def test_an_fp8_cache_holds_about_twice_as_much() -> None:
    common = ("--config", "phi-4", "--gpu-memory", "80GiB", "--max-model-len", "8192")
    assert parts(*common, "--kv-cache-dtype", "fp8")["kv_tokens"] == pytest.approx(
        2 * parts(*common)["kv_tokens"], rel=0.001
    )


def test_weights_that_the_engine_quantises_itself() -> None:
    common = ("--config", "llama-3.1-8b-instruct", "--gpu-memory", "80GiB")
    assert parts(*common, "--quantization", "fp8")["weights_gib"] == pytest.approx(8.5, abs=0.1)


def test_slots_for_adapters_are_part_of_the_weights() -> None:
    common = ("--config", str(CONFIGS / "llama-3.1-8b.json"), "--gpu-memory", "80GiB")
    more = parts(*common, "--max-loras", "4", "--max-lora-rank", "64")["weights_gib"] - parts(*common)["weights_gib"]
    assert more == pytest.approx(1.41, abs=0.1)


def test_the_headers_of_the_files_tell_the_bytes_of_the_weights(folder: Path) -> None:
    header = json.dumps({"__metadata__": {}, "w": {"dtype": "BF16", "shape": [1], "data_offsets": [0, 2**30]}})
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(header)) + header.encode())
    assert parts("--config", str(folder), "--gpu-memory", "22GiB")["weights_gib"] == pytest.approx(1.0, abs=0.02)


def test_an_index_tells_them_where_the_files_are_not_there(folder: Path) -> None:
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {"total_size": 2**31}}))
    assert parts("--config", str(folder), "--gpu-memory", "22GiB")["weights_gib"] == pytest.approx(2.0, abs=0.02)


def test_a_table_for_people(folder: Path) -> None:
    result = size("--config", str(folder), "--gpu-memory", "22GiB")
    assert result.exit_code == 0
    assert "weights" in result.stdout
    assert "1.12 GiB" in result.stdout


def test_what_does_not_fit_is_told_with_the_sum_and_exit_code_3() -> None:
    result = size("--config", "llama-3.3-70b-instruct", "--gpu-memory", "80GiB", "-o", "json")
    assert result.exit_code == 3
    assert json.loads(result.stdout)["max_model_len"] == 0
    assert "does not fit: vLLM may use 72.0 GiB of each GPU, and takes 13" in result.stderr


def test_a_context_that_does_not_fit_is_told_with_the_nearest_that_does() -> None:
    result = size("--config", "llama-3.1-8b-instruct", "--gpu-memory", "22GiB", "--max-model-len", "131072")
    assert result.exit_code == 3
    assert "holds no context of 131072 tokens there; the longest that fits is" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--config", "no-such-model", "--gpu-memory", "22GiB"), "no model 'no-such-model'"),
        (("--config", "phi-4", "--gpu-memory", "lots"), "--gpu-memory is 'lots'; write it as 139.8GiB"),
        (("--config", "phi-4", "--gpu-memory", "22GiB", "--gpus", "3"), "cannot be cut over 3 GPUs"),
        (("--config", "phi-4", "--gpu-memory", "22GiB", "--max-model-len", "99999"), "reads at most 16384 tokens"),
        (("--config", "phi-4", "--gpu-memory", "22GiB", "--quantization", "q"), "--quantization q is not known"),
        (("--config", "tests", "--gpu-memory", "22GiB"), "has no config.json"),
        (("--config", "README.md", "--gpu-memory", "22GiB"), "is not JSON"),
    ],
)
def test_bad_input_is_told_in_a_sentence(arguments: tuple[str, ...], said: str) -> None:
    result = size(*arguments)
    assert isinstance(result.exception, CliError)
    assert said in str(result.exception)


@pytest.mark.parametrize("content", [b"", b"1234567", struct.pack("<Q", 2**60), struct.pack("<Q", 2) + b"[]"])
def test_files_of_weights_that_are_none(folder: Path, content: bytes) -> None:
    (folder / "model.safetensors").write_bytes(content)
    result = size("--config", str(folder), "--gpu-memory", "22GiB")
    assert isinstance(result.exception, CliError)
    assert "safetensors" in str(result.exception)


@pytest.mark.parametrize(("text", "gib"), [("139.8GiB", 139.8), ("24GB", 22.35), ("81559MiB", 79.65), (" 80 ", 80)])
def test_sizes_with_and_without_a_unit(text: str, gib: float) -> None:
    assert memory_gib(text) == pytest.approx(gib, abs=0.01)


def test_a_folder_of_gguf_alone_says_what_is_missing(tmp_path: Path) -> None:
    (tmp_path / "model.gguf").touch()
    with pytest.raises(CliError, match=r"no config\.json.*GGUF"):
        CliRunner().invoke(app, ["size", "--config", str(tmp_path), "--gpu-memory", "80GiB"], catch_exceptions=False)


def test_an_architecture_that_the_engine_lacks_is_sized_with_a_note(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text()) | {"architectures": ["StrangeForCausalLM"]}
    (folder / "config.json").write_text(json.dumps(config))
    result = size("--config", str(folder), "--gpu-memory", "80GiB", "-o", "json")
    assert result.exit_code == 0
    assert "StrangeForCausalLM, which vLLM" in result.stderr
    assert json.loads(result.stdout)["weights_gib"] > 1


def test_a_type_of_cache_that_is_not_known_is_refused(folder: Path) -> None:
    with pytest.raises(CliError, match="--kv-cache-dtype is 'fp3'"):
        CliRunner().invoke(app, ["size", "--config", str(folder), "--gpu-memory", "80GiB", "--kv-cache-dtype", "fp3"],
                           catch_exceptions=False)  # fmt: skip

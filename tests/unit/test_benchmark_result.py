"""What figures hold for, and where they are kept."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.inference.benchmark.cache import Cache
from services.inference.benchmark.figures import Load, Sample, summarize
from services.inference.benchmark.job import BenchmarkError
from services.inference.benchmark.ladder import Shape
from services.inference.benchmark.process import result_of
from services.inference.benchmark.result import Key, Result, digest_of_flags, flags_that_count

KEY = Key(
    model="org/m", revision="abc", device="NVIDIA H100", devices=2, engine="vllm 0.32.0", flags="f1a9",
    shape=Shape(prompt_tokens=4, output_tokens=5, most=8),
)  # fmt: skip
AT = datetime(2026, 1, 1, 12, tzinfo=UTC)


def result(key: Key = KEY) -> Result:
    one = summarize(Load(1, 2, 4, 5), [Sample(0, 0.5, 2.5, 5, 4), Sample(2.5, 2.9, 5, 5, 4)], 0)
    four = summarize(Load(4, 4, 4, 5), [Sample(5, 6, 8, 5, 4)] * 4, 0)
    return result_of([one, four], key, AT, 8.04)


def test_the_figures_are_those_of_the_load_with_most_tokens() -> None:
    found = result()
    assert [level.concurrency for level in found.levels] == [1, 4]
    assert found.peak == found.levels[1]
    assert not found.complete  # eight at once would have been possible, and four were better than one
    enough = KEY.model_copy(update={"shape": KEY.shape.model_copy(update={"most": 4})})
    assert result(enough).complete
    assert (found.peak.tokens_per_minute, found.peak.output_tokens_per_minute) == (60 * 36 / 3, 60 * 20 / 3)
    assert (found.peak.first_token_ms.p50, found.peak.each_token_ms.p99) == (1000, 500)
    assert (found.levels[0].first_token_ms.p50, found.levels[0].first_token_ms.p99) == (450, 500)
    assert (found.measured_at, found.seconds) == ("2026-01-01T12:00:00+00:00", 8.0)
    with pytest.raises(BenchmarkError):
        result_of([], KEY, AT, 1)


def test_it_is_found_again_for_the_same_key_only(tmp_path: Path) -> None:
    Cache(tmp_path / "kept", KEY).save(result())
    assert Cache(tmp_path / "kept", KEY).load() == result()
    others: dict[str, object] = {
        "model": "org/n", "revision": "abd", "device": "NVIDIA A100", "devices": 1, "engine": "vllm 0.33.0",
        "flags": "", "shape": KEY.shape.model_copy(update={"output_tokens": 6}),
    }  # fmt: skip
    assert others.keys() == Key.model_fields.keys()
    for name, value in others.items():
        assert Cache(tmp_path / "kept", KEY.model_copy(update={name: value})).load() is None


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"peak": 1}', "\udcff", "1e999"])
def test_a_file_that_cannot_be_read_is_as_none(tmp_path: Path, text: str) -> None:
    file = tmp_path / f"{KEY.digest()}.json"
    file.write_bytes(text.encode(errors="surrogateescape"))
    cache = Cache(tmp_path, KEY)
    assert cache.load() is None
    cache.save(result())
    assert cache.load() == result()
    assert [path.name for path in tmp_path.iterdir()] == [file.name]


def test_a_file_of_another_key_under_this_ones_name_is_not_believed(tmp_path: Path) -> None:
    other = result(KEY.model_copy(update={"model": "org/n"}))
    (tmp_path / f"{KEY.digest()}.json").write_text(other.model_dump_json())
    assert Cache(tmp_path, KEY).load() is None


def test_a_figure_that_is_none_is_not_believed(tmp_path: Path) -> None:
    body = json.loads(result().model_dump_json())
    body["peak"]["seconds"] = "NaN"
    (tmp_path / f"{KEY.digest()}.json").write_text(json.dumps(body))
    assert Cache(tmp_path, KEY).load() is None


def test_a_folder_that_cannot_be_written_costs_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    Cache(tmp_path / "file", KEY).save(result())
    assert Cache(tmp_path / "file", KEY).load() is None


def test_flags_of_the_place_and_keys_do_not_count() -> None:
    argv = ["--model", "org/m", "--port=1", "--host", "::", "--api-key", "secret", "secret2", "--served-model-name=a",
            "--hf-token=secret", "--max_model_len", "10", "--enforce-eager", "--dtype=auto", "--x", "1",
            "2"]  # fmt: skip
    environ = {"VLLM_API_KEY": "secret", "VLLM_CPU_KVCACHE_SPACE": "4", "VLLM_CACHE_ROOT": "/c"}
    found = flags_that_count(argv, environ)
    assert found == ("--dtype=auto", "--enforce-eager", "--max-model-len=10", "--x=1 2", "VLLM_CPU_KVCACHE_SPACE=4")


@given(st.permutations(["--a=1", "--b", "--c=3 4", "--port=5"]))
def test_the_order_of_flags_does_not_count(argv: list[str]) -> None:
    assert flags_that_count(argv, {}) == ("--a=1", "--b", "--c=3 4")


@given(st.lists(st.text(st.sampled_from("ab- ="), max_size=8), max_size=8), st.text("xyz", min_size=1, max_size=30))
def test_a_key_is_never_among_them(words: list[str], secret: str) -> None:
    for argv in ([*words, f"--api-key={secret}"], [*words, "--hf-token", secret]):
        assert secret not in "".join(flags_that_count(argv, {"VLLM_API_KEY": secret}))


def test_what_is_told_without_a_key_and_kept_in_a_file_has_no_flag_in_words() -> None:
    """Any flag may have a secret in it, as `--model-loader-extra-config` of a store that wants one."""
    argv = ["--model-loader-extra-config", '{"secret": "hush"}']
    assert digest_of_flags(argv, {}) != digest_of_flags([], {})
    assert digest_of_flags(argv, {}) == digest_of_flags([*argv, "--port=1"], {})
    flags = digest_of_flags(argv, {"VLLM_X": "hush"})
    assert "hush" not in result(KEY.model_copy(update={"flags": flags})).model_dump_json()

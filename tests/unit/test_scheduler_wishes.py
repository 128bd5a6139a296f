"""What a user asks of the engine, by its settings and by annotations."""

from __future__ import annotations

import pytest

from services.contracts.workspace import ANNOTATION_CONCURRENCY, ANNOTATION_MAX_MODEL_LEN
from services.scheduler.engine_config import BadConfig, EngineConfig
from services.scheduler.sizing import Wish
from services.scheduler.wishes import read_wish


def test_nothing_asked() -> None:
    assert read_wish(EngineConfig(), {}, 0) == Wish()


def test_annotations_ask_for_a_context_and_for_requests_at_once() -> None:
    asked = read_wish(EngineConfig(), {ANNOTATION_MAX_MODEL_LEN: "32768", ANNOTATION_CONCURRENCY: " 8 "}, 0)
    assert (asked.context, asked.concurrency) == (32_768, 8)


def test_settings_that_change_what_the_engine_takes() -> None:
    flags = {
        "max-num-batched-tokens": "4096",
        "max-num-seqs": "64",
        "kv-cache-dtype": "fp8",
        "enforce-eager": "",
        "max-lora-rank": "64",
    }
    asked = read_wish(EngineConfig(max_model_len=4096, gpu_memory_utilization=0.8, flags=flags), {}, 2)
    assert asked == Wish(
        context=4096, utilization=0.8, batched=4096, sequences=64, cache_dtype="fp8", eager=True, adapters=4,
        adapter_rank=64,
    )  # fmt: skip


def test_the_same_context_twice_is_no_contradiction() -> None:
    config = EngineConfig(max_model_len=4096)
    assert read_wish(config, {ANNOTATION_MAX_MODEL_LEN: "4096"}, 0).context == 4096
    with pytest.raises(BadConfig, match=r"is 4096, and the annotation kaito\.sh/max-model-len says 8192: remove one"):
        read_wish(config, {ANNOTATION_MAX_MODEL_LEN: "8192"}, 0)


@pytest.mark.parametrize("text", ["", "0", "-1", "many", "1e3", "9" * 40, "½"])
def test_what_is_no_number_is_refused(text: str) -> None:
    with pytest.raises(BadConfig, match=r"kaito\.sh/concurrency must be a whole number from 1 to 65536"):
        read_wish(EngineConfig(), {ANNOTATION_CONCURRENCY: text}, 0)
    with pytest.raises(BadConfig, match=r"vllm\.max-num-seqs must be a whole number"):
        read_wish(EngineConfig(flags={"max-num-seqs": text}), {}, 0)

"""How the engine cuts its cache: worked out by hand for one model of each kind."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.scheduler.config_json import read_config_json
from services.scheduler.memory_cache import Group, Keeps, Layout, layout
from services.scheduler.shapes import Shapes
from services.scheduler.split import Split


def cut(name: str, split: Split | None = None, dtype: str = "auto", batched: int = 8192) -> Layout:
    shapes = read_config_json(json.loads(Path(f"tests/data/configs/{name}.json").read_text()))
    assert isinstance(shapes, Shapes), shapes
    return layout(shapes, split or Split(), dtype, batched)


def test_full_attention_keeps_keys_and_values_of_every_layer() -> None:
    found = cut("llama-3.1-8b")
    assert found.block_bytes == 16 * 2 * 8 * 128 * 32 * 2
    assert found.groups == (Group(Keeps.ALL, 16),)
    assert found.bytes_per_token(8192) == 131_072


def test_an_fp8_cache_holds_twice_as_many_tokens() -> None:
    assert cut("llama-3.1-8b", dtype="fp8").bytes_per_token(8192) == 65_536


def test_heads_are_dealt_out_and_copied_where_they_are_too_few() -> None:
    assert cut("llama-3.1-8b", Split(tensor=4)).bytes_per_token(8192) == 131_072 // 4
    assert cut("llama-3.1-8b", Split(tensor=16)).bytes_per_token(8192) == 131_072 // 8
    assert cut("falcon-7b", Split(tensor=1)).bytes_per_token(2048) == 2 * 64 * 32 * 2


def test_a_latent_vector_is_whole_on_every_gpu() -> None:
    alone, four = cut("deepseek-v2-lite"), cut("deepseek-v2-lite", Split(tensor=4))
    assert alone.bytes_per_token(8192) == four.bytes_per_token(8192) == (512 + 64) * 27 * 2


def test_a_stage_of_a_pipeline_holds_its_own_layers_only() -> None:
    assert cut("llama-3.1-8b", Split(pipeline=2)).block_bytes * 2 == cut("llama-3.1-8b").block_bytes


def test_windows_and_full_attention_alternate_in_two_groups() -> None:
    found = cut("gemma-2-9b", batched=2048)
    assert found.groups == (Group(Keeps.WINDOW, 16), Group(Keeps.ALL, 16))
    assert found.block_bytes == 16 * 2 * 8 * 256 * 2 * 21
    # All of 8192 tokens, and the window of 4096 with two steps in flight, which may begin within a block.
    assert found.blocks(8192) == 8192 // 16 + (4096 + 2 * 2048) // 16 + 1


def test_the_rarest_kind_of_layer_makes_the_size_of_a_group() -> None:
    # Gemma 3 4B: 29 layers with windows, 5 with full attention: groups of 5, the last of which is padded.
    found = cut("gemma-3-4b")
    assert found.groups == (Group(Keeps.WINDOW, 16, copies=6), Group(Keeps.ALL, 16, copies=1))
    assert found.block_bytes == 16 * 2 * 4 * 256 * 2 * 5


def test_a_window_for_all_layers_bounds_what_a_request_takes() -> None:
    found = cut("mistral-7b-v0.1", batched=2048)
    assert found.groups == (Group(Keeps.WINDOW, 16),)
    assert found.blocks(32_768) == found.blocks(16_384) == (4096 - 1 + 2 * 2048) // 16 + 1 + 1


def test_attention_beside_a_state_gets_blocks_as_large_as_the_state() -> None:
    # As the engine said: blocks of 544 tokens for Qwen3-Next, 400 for Granite 4, 1568 for Falcon H1.
    assert cut("qwen3-next-l12").groups == (Group(Keeps.STATE, 0, copies=3), Group(Keeps.ALL, 544))
    assert cut("granite-4.0-h-tiny").groups == (Group(Keeps.STATE, 0, copies=9), Group(Keeps.ALL, 400))
    assert cut("falcon-h1-1.5b").groups == (Group(Keeps.STATE, 0), Group(Keeps.ALL, 1568))


def test_a_state_is_one_block_however_long_the_request() -> None:
    found = cut("qwen3-next-l12")
    assert found.blocks(544) == 3 + 1
    assert found.blocks(5440) == 3 + 10


NAMES = [path.stem for path in sorted(Path("tests/data/configs").glob("*.json"))]


@given(st.sampled_from(NAMES), st.floats(0, 2e11), st.integers(1, 200_000), st.integers(1, 64))
def test_the_longest_request_fits_and_a_longer_one_does_not(name: str, cache: float, most: int, requests: int) -> None:
    found = cut(name)
    longest = found.longest(cache, most, requests)
    assert 0 <= longest <= most
    if longest:
        assert requests * found.blocks(longest) <= found.total_blocks(cache)
    if longest < most:
        assert requests * found.blocks(longest + 1) > found.total_blocks(cache)


@pytest.mark.parametrize("name", NAMES)
def test_longer_requests_never_take_fewer_blocks(name: str) -> None:
    found = cut(name)
    taken = [found.blocks(length) for length in range(1, 20_000, 37)]
    assert taken == sorted(taken)

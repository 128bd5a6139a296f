"""Whether an adapter's matrices fit the model that is served."""

from __future__ import annotations

from array import array
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.inference.adapters.shapes import check_fit, pairs
from services.inference.adapters.tensors import Shape, read_shapes
from services.inference.adapters.wanted import AdapterError
from tests.lora.files import matrices, safetensors

MODEL: dict[str, Shape] = {
    "model.embed_tokens.weight": (100, 16),
    "model.layers.0.self_attn.q_proj.weight": (32, 16),
    "model.layers.0.self_attn.q_proj.bias": (32,),
    "model.layers.0.mlp.down_proj.qweight": (),
    "model.layers.0.mlp.down_proj.scales": (1, 16),
    "model.layers.0.input_layernorm.weight": (16,),
}


def adapter(module: str, out: int, into: int, rank: int = 4) -> dict[str, Shape]:
    prefix = f"base_model.model.{module}"
    return {f"{prefix}.lora_A.weight": (rank, into), f"{prefix}.lora_B.weight": (out, rank)}


def fits(module: str, out: int, into: int) -> None:
    check_fit(pairs(adapter(module, out, into)), MODEL, "org/base")


@pytest.mark.parametrize(
    ("module", "out", "into"),
    [
        ("model.layers.0.self_attn.q_proj", 32, 16),
        ("model.language_model.layers.0.self_attn.q_proj", 32, 16),
        ("model.layers.0.mlp.down_proj", 7, 9),
        ("lm_head", 100, 16),
        ("model.layers.0.mlp.experts.3.up_proj", 5, 5),
    ],
)
def test_what_the_model_has_fits(module: str, out: int, into: int) -> None:
    """Also under another name of what is before the layers, packed weights, and what may be tied or fused."""
    fits(module, out, into)


def test_another_size_is_told_with_both() -> None:
    with pytest.raises(AdapterError, match=r"as a matrix of 64 x 16, and in org/base that is 32 x 16"):
        fits("model.layers.0.self_attn.q_proj", 64, 16)


@pytest.mark.parametrize("module", ["model.layers.1.self_attn.q_proj", "transformer.h.0.attn.c_attn", "head"])
def test_what_the_model_does_not_have_is_named(module: str) -> None:
    with pytest.raises(AdapterError, match=rf"changes {module}, which org/base does not have"):
        fits(module, 32, 16)


def test_of_many_the_first_is_named() -> None:
    found = pairs(adapter("model.layers.2.x", 2, 2) | adapter("model.layers.1.x", 2, 2))
    with pytest.raises(AdapterError, match=r"changes model.layers.1.x and 1 more"):
        check_fit(found, MODEL, "org/base")


def test_where_the_model_is_not_known_the_engine_decides() -> None:
    check_fit(pairs(adapter("anything", 1, 1)), {}, "org/base")


@pytest.mark.parametrize(
    ("tensors", "words"),
    [
        ({}, "no matrices"),
        ({"base_model.model.lm_head.weight": (2, 2)}, "no part of a plain LoRA"),
        ({"base_model.model.a.lora_magnitude_vector.weight": (2,)}, "no part of a plain LoRA"),
        ({"base_model.model.a.lora_A.weight": (2, 2)}, "only one of its two"),
        ({"a.lora_A.weight": (2, 8), "a.lora_B.weight": (8, 4)}, "do not fit each other: 2 x 8 and 8 x 4"),
        ({"a.lora_A.weight": (2, 8), "a.lora_B.weight": (8, 2, 1)}, "do not fit each other"),
        ({"a.lora_A.weight": (0, 8), "a.lora_B.weight": (8, 0)}, "do not fit each other"),
    ],
)
def test_what_is_no_lora_is_refused(tensors: dict[str, Shape], words: str) -> None:
    with pytest.raises(AdapterError, match=words):
        pairs(tensors)


class TestFile:
    """The header of a safetensors file."""

    def test_names_and_shapes_are_read(self, tmp_path: Path) -> None:
        file = tmp_path / "a.safetensors"
        file.write_bytes(safetensors(matrices(layers=1, size=8)))
        assert read_shapes(file) == {
            "base_model.model.model.layers.0.self_attn.o_proj.lora_A.weight": (4, 8),
            "base_model.model.model.layers.0.self_attn.o_proj.lora_B.weight": (8, 4),
        }

    def test_one_that_is_cut_short_anywhere_is_told(self, tmp_path: Path) -> None:
        whole = safetensors({"a": ((2, 2), array("f", [1, 2, 3, 4]))})
        for length in range(len(whole)):
            (tmp_path / "a").write_bytes(whole[:length])
            with pytest.raises(AdapterError, match="cut short"):
                read_shapes(tmp_path / "a")

    @given(st.binary(max_size=200), st.sampled_from([b"", b"{}", b'{"a": 1}', b'{"a": {"shape": [-1]}}', b"[]"]))
    def test_anything_else_is_told_and_never_breaks(
        self, tmp_path_factory: pytest.TempPathFactory, data: bytes, header: bytes
    ) -> None:
        file = tmp_path_factory.getbasetemp() / "any"
        for content in (data, len(header).to_bytes(8, "little") + header + data):
            file.write_bytes(content)
            try:
                read_shapes(file)
            except AdapterError as error:
                assert "any" in str(error)  # noqa: PT017 - that it may also be read is part of it

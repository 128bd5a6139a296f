"""Which files of a repository are packed."""

from __future__ import annotations

import pytest

from services.cli.hub_files import is_hub_id, wanted_files
from services.inference.oci.names import Kind


def test_weights_in_one_format_and_what_the_engine_needs_beside_them() -> None:
    names = [
        "config.json", "model-1.safetensors", "model-2.safetensors", "tokenizer.model",
        "consolidated.safetensors", "pytorch_model.bin", "modeling.py", ".gitattributes", "onnx/model.json", "LICENSE",
    ]  # fmt: skip
    expected = ["LICENSE", "config.json", "model-1.safetensors", "model-2.safetensors", "tokenizer.model"]
    assert wanted_files(names, Kind.MODEL) == expected


def test_consolidated_weights_where_there_are_no_others() -> None:
    assert wanted_files(["params.json", "consolidated.safetensors"], Kind.MODEL) == [
        "consolidated.safetensors",
        "params.json",
    ]


@pytest.mark.parametrize(
    ("text", "is_id"), [("org/model", True), ("model", False), ("../model", False), ("a/b/c", False)]
)
def test_what_may_be_an_id(text: str, is_id: bool) -> None:
    assert is_hub_id(text) is is_id

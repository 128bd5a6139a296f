"""The parts of reading a model that need no hub: ids, headers, sums, words."""

from __future__ import annotations

import base64
import json
from contextlib import suppress
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.contracts.conditions import Reason
from services.scheduler.architectures import load_architectures
from services.scheduler.config_json import read_config_json
from services.scheduler.hub.errors import HubError, retry_after
from services.scheduler.hub.fetch import Fetched
from services.scheduler.hub.model_facts import model_facts, quantization
from services.scheduler.hub.model_id import is_model_id
from services.scheduler.hub.redirects import BadEndpoint, Endpoint
from services.scheduler.hub.repository import Repository, weight_files
from services.scheduler.hub.safetensors_header import BadHeader, Tensor, header_length, read_header
from services.scheduler.hub.tokens import token_of
from services.scheduler.hub.weights import OTHERS, WeightSum
from tests.hub.models import COMMIT, LLAMA

ARCHITECTURES = load_architectures()
SHARDS = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]
NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize("text", ["acme/small-1b", "a/b", "Qwen/Qwen2.5-7B", "x_1/y.z-1", "01-ai/Yi-34B"])
def test_names_that_the_hub_could_have(text: str) -> None:
    assert is_model_id(text)


@pytest.mark.parametrize(
    "text",
    ["phi-4", "a/b/c", "/b", "a/", "../x", "a/..", "a/b..c", "a/b--c", "-a/b", "a/.b", "a/b.git", "a/b?x=1", "a /b",
     "https://a/b", "a/" + "b" * 96, "a/b\n", "ä/b", "a/%2e%2e"],
)  # fmt: skip
def test_names_that_it_cannot_have(text: str) -> None:
    assert not is_model_id(text)


class TestHeaders:
    """The header of a safetensors file."""

    def test_tells_type_and_bytes_of_each_tensor(self) -> None:
        header = {"__metadata__": {"a": "b"}, "w": {"dtype": "BF16", "shape": [2, 3], "data_offsets": [4, 16]}}
        assert read_header(json.dumps(header).encode()) == [Tensor("w", "BF16", 12)]

    @pytest.mark.parametrize("length", [0, 1, 2**40, 2**64 - 1])
    def test_absurd_lengths_are_refused(self, length: int) -> None:
        with pytest.raises(BadHeader):
            header_length(length.to_bytes(8, "little"))

    @pytest.mark.parametrize(
        "entry",
        [{}, {"dtype": "F8", "data_offsets": [1]}, {"dtype": "F8", "data_offsets": [2, 1]}, None, 7,
         {"dtype": "F8", "data_offsets": [-1, 1]}, {"dtype": 8, "data_offsets": [0, 1]},
         {"dtype": "F8", "data_offsets": ["0", "1"]}, {"dtype": "F8", "data_offsets": [0, 1.5]}],
    )  # fmt: skip
    def test_entries_that_are_none_are_refused(self, entry: object) -> None:
        with pytest.raises(BadHeader, match="w"):
            read_header(json.dumps({"w": entry}).encode())

    @given(st.binary(max_size=200))
    def test_whatever_the_bytes_it_is_read_or_refused(self, text: bytes) -> None:
        try:
            tensors = read_header(text, len(text))
        except BadHeader:
            return
        else:
            assert all(tensor.size >= 0 for tensor in tensors)

    @given(
        st.recursive(
            st.none() | st.integers() | st.text(max_size=5),
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.dictionaries(st.sampled_from(["dtype", "data_offsets", "shape", "w"]), inner, max_size=3)
            ),
        )
    )
    def test_whatever_the_json_it_is_read_or_refused(self, content: object) -> None:
        with suppress(BadHeader):
            read_header(json.dumps(content).encode())


class TestSums:
    """Adding up tensors."""

    def test_layers_and_experts_become_one_group(self) -> None:
        total = WeightSum()
        total.add(Tensor(f"model.layers.{n}.mlp.experts.{e}.up.weight", "BF16", 10) for n in range(3) for e in range(4))
        [group] = total.weights().groups
        assert (group.name, group.count, group.size) == ("model.layers.*.mlp.experts.*.up.weight", 12, 120)

    def test_a_tensor_that_two_files_hold_counts_once(self) -> None:
        total = WeightSum()
        for _ in range(2):
            total.add([Tensor("w", "F16", 10)])
        assert total.weights().size == 10

    def test_types_are_kept_apart(self) -> None:
        total = WeightSum()
        total.add([Tensor("l.0.w", "F8_E4M3", 30), Tensor("l.1.w", "BF16", 10), Tensor("s", "F32", 4)])
        assert total.weights().by_dtype == {"F8_E4M3": 30, "BF16": 10, "F32": 4}

    def test_names_that_have_nothing_in_common_do_not_fill_the_memory(self) -> None:
        total = WeightSum()
        total.add(Tensor(f"w{n}", "BF16", 1) for n in range(10_000))
        weights = total.weights()
        assert len(weights.groups) == 4097
        assert weights.size == 10_000
        assert next(g for g in weights.groups if g.name == OTHERS).count == 10_000 - 4096

    @pytest.mark.parametrize("tower", ["vision_tower.encoder.layers.40.w", "visual.blocks.40.w", "audio.layers.40.w"])
    def test_towers_count_their_own_layers(self, tower: str) -> None:
        total = WeightSum(layers=16)
        total.add([Tensor(tower, "BF16", 10), Tensor("model.layers.16.w", "BF16", 7)])
        assert (total.weights().size, total.weights().beyond) == (10, 7)


@pytest.mark.parametrize(
    ("names", "chosen"),
    [
        (["model.safetensors", "consolidated.safetensors", "model.fp16.safetensors"], ["model.safetensors"]),
        ([*SHARDS, "consolidated-00001-of-00001.safetensors", "README.md"], SHARDS),
        (["consolidated.safetensors"], ["consolidated.safetensors"]),
        (["original/model.safetensors", "model.bin"], []),
        (["adapter_model.safetensors"], []),
        (["weights.safetensors"], ["weights.safetensors"]),
    ],
)  # fmt: skip
def test_one_set_of_weights_is_chosen(names: list[str], chosen: list[str]) -> None:
    assert list(weight_files(names)) == chosen


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("17", 17), ("0", 0), ("999999", 3600), ("Thu, 01 Jan 2026 12:00:30 GMT", 30),
     ("Thu, 01 Jan 2026 11:00:00 GMT", 0),
     ("", None), ("soon", None), ("-1", None), ("1.5", None), ("9" * 5000, None), ("²", None)],
)  # fmt: skip
def test_how_long_the_hub_wants_to_be_left_alone(text: str, seconds: float | None) -> None:
    assert retry_after({"Retry-After": text}, NOW) == seconds


@pytest.mark.parametrize("address", ["", "huggingface.co", "ftp://a", "https://", "https://u:p@a", "http://["])
def test_an_address_of_a_hub_that_is_none(address: str) -> None:
    with pytest.raises(BadEndpoint, match="HF_ENDPOINT"):
        Endpoint(address)


@pytest.mark.parametrize(
    ("address", "shown"),
    [("https://a/", "https://a"), (" http://a:8080/mirror/ ", "http://a:8080/mirror")],
)
def test_an_address_of_a_hub(address: str, shown: str) -> None:
    endpoint = Endpoint(address)
    assert endpoint.shown == shown
    assert str(endpoint.url("/api/models/a/b?blobs=true")) == f"{shown}/api/models/a/b?blobs=true"


class TestTokens:
    """Reading a secret."""

    def test_is_read_without_the_line_end_that_editors_add(self) -> None:
        coded = base64.b64encode(b"hf_x\n").decode()
        assert token_of("s", {"HF_TOKEN": coded}).get_secret_value() == "hf_x"

    @pytest.mark.parametrize("raw", [b"", b"two words", b"hf_\xff", b"hf_x\nInjected: 1", b"x" * 5000])
    def test_what_is_none_is_refused_and_never_repeated(self, raw: bytes) -> None:
        with pytest.raises(HubError) as caught:
            token_of("s", {"HF_TOKEN": base64.b64encode(raw).decode()})
        assert "holds no token" in caught.value.message
        assert "Injected" not in caught.value.message

    @pytest.mark.parametrize("data", [{}, {"token": "eA=="}, {"HF_TOKEN": 7}])
    def test_a_secret_without_the_key(self, data: dict[str, object]) -> None:
        with pytest.raises(HubError, match="has no key HF_TOKEN"):
            token_of("s", data)


@pytest.mark.parametrize(
    ("config", "name"),
    [
        ({}, None),
        ({"quantization_config": {"quant_method": "fp8"}}, "fp8"),
        ({"quantization_config": {"quant_method": "awq", "bits": 4}}, "awq-4"),
        ({"quantization_config": {"quant_method": "compressed-tensors", "format": "pack-quantized"}}, "pack-quantized"),
        ({"quantization_config": {"quant_method": "mxfp4"}}, "mxfp4"),
        ({"quantization_config": "fp8"}, None),
    ],
)
def test_quantisation_has_the_catalogues_names(config: dict[str, object], name: str | None) -> None:
    assert quantization(config) == name  # type: ignore[arg-type]  # as JSON has it


def fetched(config: dict[str, object]) -> Fetched:
    total = WeightSum()
    total.add([Tensor("w", "BF16", 2_471_628_800)])
    repository = Repository(id="acme/small-1b", revision=COMMIT, files=())
    return Fetched(repository=repository, config=config, weights=total.weights())


WEIRD = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*LLAMA, "x"]), inner, max_size=4),
    max_leaves=8,
)


@given(
    st.dictionaries(st.sampled_from([*LLAMA, "text_config", "quantization_config", "layer_types"]), WEIRD, max_size=4)
)
def test_whatever_is_in_a_config_there_are_facts_that_can_be_sized_or_a_plain_reason(change: dict[str, object]) -> None:
    try:
        facts = model_facts(fetched(LLAMA | change), ARCHITECTURES)
    except HubError as error:
        reason = error
    else:
        assert facts.shapes == read_config_json(LLAMA | change)
        return
    assert reason.reason is Reason.MODEL_NOT_SUPPORTED
    assert reason.message.endswith((".", "?"))


def test_of_a_config_only_what_counts_is_kept() -> None:
    noise = {"id2label": {str(n): "x" * 50 for n in range(1000)}, "torch_dtype": "bfloat16", "bos_token_id": 1}
    facts = model_facts(fetched(LLAMA | noise), ARCHITECTURES)
    assert facts.config is not None
    assert not facts.config.keys() & noise.keys()
    assert facts.shapes.layers == 16


def test_a_model_without_attention_is_sized_too() -> None:
    mamba: dict[str, object] = {
        "architectures": ["MambaForCausalLM"], "model_type": "mamba", "hidden_size": 768, "num_hidden_layers": 24,
        "vocab_size": 50280, "state_size": 16, "conv_kernel": 4, "intermediate_size": 1536, "time_step_rank": 48,
    }  # fmt: skip
    assert not model_facts(fetched(mamba), ARCHITECTURES).shapes.attends

"""The hub over the wire: what is read of a model, what is left out, and what a token opens."""

from __future__ import annotations

import pytest
from pydantic import SecretStr

from services.contracts.conditions import Reason
from services.scheduler.hub.client import HubClient, Place
from services.scheduler.hub.fetch import fetch
from tests.hub.models import COMMIT, LLAMA, LLAMA_BYTES, llama_tensors, safetensors, sharded, single
from tests.hub.server import Hub
from tests.integration.hub_fixtures import client, hub, read, trouble, without

__all__ = ["client", "hub"]

TOKEN = SecretStr("hf_right")


class TestFacts:
    """What is read of a model, and what is left out."""

    async def test_of_a_model_in_one_file(self, hub: Hub, client: HubClient) -> None:
        hub.add(single())
        facts = await read(client, "acme/small-1b")
        assert facts.weights_gib == round(LLAMA_BYTES / 2**30, 2)
        assert (facts.revision, facts.license, facts.architecture) == (COMMIT, "apache-2.0", "LlamaForCausalLM")
        assert (facts.layers, facts.heads, facts.kv_heads, facts.head_dim) == (16, 32, 8, 64)
        assert facts.disk_gib == 83

    async def test_of_one_in_several_files_beside_copies_in_other_formats_and_folders(
        self, hub: Hub, client: HubClient
    ) -> None:
        hub.add(sharded())
        fetched = await fetch(client, "acme/sharded-1b", None, None)
        assert fetched.weights.by_dtype == {"BF16": LLAMA_BYTES}
        assert [group.count for group in fetched.weights.groups if "q_proj" in group.name] == [16]

    async def test_the_disk_holds_second_copies_that_the_engine_downloads_too(
        self, hub: Hub, client: HubClient
    ) -> None:
        hub.add(sharded())
        assert (await read(client, "acme/sharded-1b")).disk_gib == 80 + 7

    async def test_only_headers_are_read(self, hub: Hub, client: HubClient) -> None:
        hub.add(sharded())
        await read(client, "acme/sharded-1b")
        assert [s.range for s in hub.seen if s.host == "cdn"] == ["bytes=0-131071"] * 3

    async def test_a_header_longer_than_the_first_read(self, hub: Hub, client: HubClient) -> None:
        hub.add(single())
        hub.repos["acme/small-1b"].files["model.safetensors"] = safetensors(llama_tensors(), pad=300_000)
        assert (await read(client, "acme/small-1b")).weights_gib == round(LLAMA_BYTES / 2**30, 2)

    async def test_a_server_without_ranges_is_read_no_further_than_needed(self, hub: Hub, client: HubClient) -> None:
        hub.add(single())
        hub.ranges = False
        got = await client.part(Place("acme/small-1b", COMMIT), "model.safetensors", 0, 1000)
        assert len(got.body) == 1000

    async def test_layers_that_only_draft_are_left_on_the_disk(self, hub: Hub, client: HubClient) -> None:
        hub.add(single())
        hub.repos["acme/small-1b"].files["model.safetensors"] = safetensors(llama_tensors(layers=17))
        fetched = await fetch(client, "acme/small-1b", None, None)
        assert fetched.weights.size == LLAMA_BYTES
        assert fetched.weights.beyond > 0

    async def test_an_output_that_is_tied_to_the_embedding_counts_once(self, hub: Hub, client: HubClient) -> None:
        hub.add(single())
        doubled = llama_tensors() | {"lm_head.weight": ("BF16", 2 * 128256 * 2048)}
        hub.repos["acme/small-1b"].files["model.safetensors"] = safetensors(doubled)
        assert (await read(client, "acme/small-1b")).weights_gib == round(LLAMA_BYTES / 2**30, 2)

    async def test_float32_is_loaded_as_16_bits(self, hub: Hub, client: HubClient) -> None:
        hub.add(single())
        wide = {name: ("F32", 2 * size) for name, (_, size) in llama_tensors().items()}
        hub.repos["acme/small-1b"].files["model.safetensors"] = safetensors(wide)
        assert (await read(client, "acme/small-1b")).weights_gib == round(LLAMA_BYTES / 2**30, 2)

    async def test_a_commit_is_asked_for_by_its_name(self, hub: Hub, client: HubClient) -> None:
        hub.add(single())
        await read(client, "acme/small-1b", revision=COMMIT)
        assert {path for s in hub.seen if "main" in (path := s.path)} == set()

    async def test_whatever_the_case_of_its_letters_it_has_the_hubs_name(self, hub: Hub, client: HubClient) -> None:
        hub.add(single("Acme/Small-1B"))
        assert (await read(client, "acme/small-1b")).id == "Acme/Small-1B"

    async def test_a_repository_that_was_renamed_is_found(self, hub: Hub, client: HubClient) -> None:
        hub.add(single())
        hub.renamed["old/name"] = "acme/small-1b"
        assert (await read(client, "old/name")).id == "acme/small-1b"

    async def test_a_connection_that_breaks_is_tried_again(self, hub: Hub, client: HubClient) -> None:
        hub.add(single())
        hub.drop("config.json", times=1)
        assert (await read(client, "acme/small-1b")).layers == 16

    async def test_many_files_are_read_a_few_at_a_time(self, hub: Hub, client: HubClient) -> None:
        hub.add(sharded(shards=40))
        assert (await read(client, "acme/sharded-1b")).layers == 16
        assert hub.busiest <= 8


class TestTokens:
    """Who gets the token, and what is said without a right one."""

    async def test_the_token_opens_a_gated_model(self, hub: Hub, client: HubClient) -> None:
        hub.add(single(gated="manual", tokens=frozenset({"hf_right"})))
        assert (await read(client, "acme/small-1b", TOKEN)).gated

    async def test_the_token_does_not_go_to_the_host_of_large_files(self, hub: Hub, client: HubClient) -> None:
        hub.add(single(gated="manual", tokens=frozenset({"hf_right"})))
        await read(client, "acme/small-1b", TOKEN)
        assert {(s.host, s.token) for s in hub.seen} == {("hub", "hf_right"), ("cdn", None)}

    @pytest.mark.parametrize(
        ("token", "words"),
        [(None, "accept its licence"), (SecretStr("hf_wrong"), "has no access to it")],
        ids=["without a token", "with one that has no access"],
    )
    async def test_a_gated_model_says_what_to_do(
        self, hub: Hub, client: HubClient, token: SecretStr | None, words: str
    ) -> None:
        hub.add(single(gated="auto", tokens=frozenset({"hf_right"})))
        error = await trouble(client, "acme/small-1b", token)
        assert error.reason is Reason.MODEL_ACCESS_DENIED
        assert words in error.message
        assert "hf_wrong" not in error.message

    async def test_a_token_that_the_hub_does_not_know(self, hub: Hub, client: HubClient) -> None:
        hub.add(single())
        hub.fail("/api/models", 401)
        error = await trouble(client, "acme/small-1b", TOKEN)
        assert error.reason is Reason.MODEL_ACCESS_DENIED
        assert "does not accept the token" in error.message

    async def test_a_private_model_looks_like_none(self, hub: Hub, client: HubClient) -> None:
        hub.add(single(private=True, tokens=frozenset({"hf_right"})))
        assert (await trouble(client, "acme/small-1b")).reason is Reason.MODEL_NOT_FOUND
        assert (await read(client, "acme/small-1b", TOKEN)).layers == 16


async def test_a_model_that_only_transformers_has_is_read_and_told_so(hub: Hub, client: HubClient) -> None:
    repo = without("", config__json=LLAMA | {"architectures": ["CodeGenForCausalLM"]})
    hub.add(repo)
    found = await read(client, repo.id)
    assert found.transformers
    assert "set the annotation kaito.sh/runtime: transformers" in (found.vllm_lacks or "")

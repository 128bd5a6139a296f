"""The hub over the wire: what is read of a model, what is left out, and what a person is told when it fails."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from pydantic import SecretStr

from services.contracts.conditions import Reason
from services.scheduler.architectures import load_architectures
from services.scheduler.facts import ModelFacts
from services.scheduler.hub.client import HubClient, Limits, Place
from services.scheduler.hub.errors import HubError
from services.scheduler.hub.fetch import fetch
from services.scheduler.hub.model_facts import model_facts
from tests.hub.models import COMMIT, LLAMA, LLAMA_BYTES, Repo, llama_tensors, safetensors, sharded, single, text
from tests.hub.server import Hub

TOKEN = SecretStr("hf_right")


@pytest.fixture
async def hub() -> AsyncIterator[Hub]:
    async with Hub() as hub:
        yield hub


@pytest.fixture
async def client(hub: Hub) -> AsyncIterator[HubClient]:
    async with HubClient(hub.url) as client:
        yield client


async def read(
    client: HubClient, model: str, token: SecretStr | None = None, revision: str | None = None
) -> ModelFacts:
    return model_facts(await fetch(client, model, revision, token), load_architectures())


async def trouble(client: HubClient, model: str, token: SecretStr | None = None) -> HubError:
    with pytest.raises(HubError) as caught:
        await read(client, model, token)
    return caught.value


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


class TestTrouble:
    """A hub that refuses, is slow, broken or gone."""

    async def test_no_such_model(self, client: HubClient) -> None:
        error = await trouble(client, "acme/nothing")
        assert error.reason is Reason.MODEL_NOT_FOUND
        assert "has no model 'acme/nothing'" in error.message

    async def test_a_commit_that_is_gone(self, hub: Hub, client: HubClient) -> None:
        hub.add(single())
        with pytest.raises(HubError, match="no longer has the commit"):
            await read(client, "acme/small-1b", revision="e" * 40)

    async def test_too_many_questions(self, hub: Hub, client: HubClient) -> None:
        hub.fail("/api/models", 429, Retry_After="17")
        error = await trouble(client, "acme/small-1b")
        assert (error.passes, error.retry_after) == (True, 17.0)

    @pytest.mark.parametrize("status", [500, 502, 503, 504])
    async def test_a_hub_that_is_broken(self, hub: Hub, client: HubClient, status: int) -> None:
        hub.fail("/api/models", status)
        error = await trouble(client, "acme/small-1b")
        assert (error.reason, error.passes) == (Reason.HUB_UNAVAILABLE, True)
        assert str(status) in error.message

    async def test_a_hub_that_is_silent(self, hub: Hub) -> None:
        hub.silence()
        async with HubClient(hub.url, Limits(connect=1, request=0.2)) as client:
            error = await trouble(client, "acme/small-1b")
        assert (error.reason, error.passes) == (Reason.HUB_UNAVAILABLE, True)
        assert "did not answer within 0.2 s" in error.message

    async def test_a_hub_that_is_gone(self) -> None:
        async with HubClient("http://127.0.0.1:9") as client:
            error = await trouble(client, "acme/small-1b")
        assert (error.reason, error.passes) == (Reason.HUB_UNAVAILABLE, True)
        assert "http://127.0.0.1:9" in error.message

    async def test_a_redirect_in_a_circle(self, hub: Hub, client: HubClient) -> None:
        hub.fail("/api/models", 302, Location="/api/models/acme/small-1b/revision/main")
        assert "in a circle" in (await trouble(client, "acme/small-1b")).message

    @pytest.mark.parametrize("target", ["ftp://example.org/x", "file:///etc/passwd", "http://u:p@example.org/", "//["])
    async def test_a_redirect_to_where_nobody_should_go(self, hub: Hub, client: HubClient, target: str) -> None:
        hub.fail("/api/models", 302, Location=target)
        assert "not followed" in (await trouble(client, "acme/small-1b")).message

    async def test_an_answer_that_never_ends_is_not_read_to_the_end(self, hub: Hub, client: HubClient) -> None:
        hub.add(single())
        hub.fail("config.json", 200, body=b" " * (3 * 2**20))
        assert "so much of it is not read" in (await trouble(client, "acme/small-1b")).message

    @pytest.mark.parametrize(
        "body",
        [b"", b"null", b"[]", b'{"id": 1}', b"{", b'{"id": "a/b", "sha": "main"}', b"[" * 100_000, b"\xff"],
    )
    async def test_a_description_that_cannot_be_read(self, hub: Hub, client: HubClient, body: bytes) -> None:
        hub.fail("/api/models", 200, body=body)
        assert (await trouble(client, "acme/small-1b")).reason is Reason.MODEL_NOT_SUPPORTED


def without(name: str, **files: object) -> Repo:
    repo = single()
    repo.files.pop(name, None)
    repo.files.update({key.replace("__", "."): text(content) for key, content in files.items()})
    return repo


async def test_a_model_that_only_transformers_has_is_read_and_told_so(hub: Hub, client: HubClient) -> None:
    repo = without("", config__json=LLAMA | {"architectures": ["CodeGenForCausalLM"]})
    hub.add(repo)
    found = await read(client, repo.id)
    assert found.transformers
    assert "set the annotation kaito.sh/runtime: transformers" in (found.vllm_lacks or "")


class TestUnusable:
    """Repositories that cannot be sized and served."""

    @pytest.mark.parametrize(
        ("repo", "words"),
        [
            (without("config.json"), "has no config.json"),
            (without("config.json", params__json={}), "Mistral's own format"),
            (without("config.json", adapter_config__json={}), "is an adapter, not a model"),
            (without("model.safetensors", pytorch_model__bin=""), "only as .bin"),
            (without("model.safetensors", small__gguf=""), "only as .gguf"),
            (without("model.safetensors"), "has no weights"),
            (without("", config__json="{"), "is not JSON"),
            (without("", config__json=[]), "is not a JSON object"),
            (without("", config__json={"architectures": ["LlamaForCausalLM"]}), "has no hidden_size"),
            (without("", config__json=LLAMA | {"architectures": ["BertModel"]}), "does not generate text"),
            (without("", config__json=LLAMA | {"architectures": ["LamaForCausalLM"]}), "LlamaForCausalLM"),
        ],
        ids=lambda value: value if isinstance(value, str) else "",
    )
    async def test_what_is_there_is_told(self, hub: Hub, client: HubClient, repo: Repo, words: str) -> None:
        hub.add(repo)
        error = await trouble(client, repo.id)
        assert (error.reason, error.passes) == (Reason.MODEL_NOT_SUPPORTED, False)
        assert words in error.message

    async def test_numbers_that_json_does_not_have(self, hub: Hub, client: HubClient) -> None:
        import json

        hub.add(without("", config__json=json.dumps(LLAMA | {"rope_theta": float("inf"), "x": float("nan")})))
        assert (await read(client, "acme/small-1b")).layers == 16

    @pytest.mark.parametrize(
        "place", ["../../etc/passwd", "https://example.org/model.safetensors", "other.safetensors", "config.json", 7]
    )
    async def test_an_index_that_leads_outside(self, hub: Hub, client: HubClient, place: object) -> None:
        repo = sharded()
        repo.files["model.safetensors.index.json"] = text({"weight_map": {"model.norm.weight": place}})
        hub.add(repo)
        error = await trouble(client, repo.id)
        assert error.reason is Reason.MODEL_NOT_SUPPORTED
        assert "index.json" in error.message

    @pytest.mark.parametrize(
        "blob",
        [
            b"",
            b"\x07\x00",
            b"\xff" * 8,
            (100).to_bytes(8, "little") + b"{}",
            (2).to_bytes(8, "little") + b"[]",
            (2).to_bytes(8, "little") + b"{}",
            (2).to_bytes(8, "little") + b"{}" + b"more than it says",
        ],
    )
    async def test_weights_that_are_cut_short_or_none(self, hub: Hub, client: HubClient, blob: bytes) -> None:
        repo = single()
        repo.files["model.safetensors"] = text("")
        repo.files["model.safetensors"] = type(repo.files["config.json"])(blob, len(blob))
        hub.add(repo)
        error = await trouble(client, repo.id)
        assert error.reason is Reason.MODEL_NOT_SUPPORTED

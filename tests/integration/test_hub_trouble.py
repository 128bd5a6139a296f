"""What a person is told when a model cannot be read from the hub, or not be used."""

from __future__ import annotations

import pytest

from services.contracts.conditions import Reason
from services.scheduler.hub.client import HubClient, Limits
from services.scheduler.hub.errors import HubError
from tests.hub.models import LLAMA, Repo, sharded, single, text
from tests.hub.server import Hub
from tests.integration.hub_fixtures import client, hub, read, trouble, without

__all__ = ["client", "hub"]


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

"""How the provider `azure` logs in, and what it says where the login fails."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from services.contracts.errors import FailureCode, ProviderError
from tests.azure_arm.script import Play
from tests.azure_arm.server import SECRET, TOKEN, AzureArm
from tests.integration.azure_cloud import Cloud, cloud, spec

__all__ = ["cloud"]

CODE = FailureCode


async def test_wrong_credentials(cloud: Cloud, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    cloud.env.setenv("AZURE_CLIENT_SECRET", "wrong-and-secret")
    provider = await cloud.provider()
    with pytest.raises(ProviderError, match="AADSTS7000215") as refused:
        await provider.list()
    assert refused.value.code is CODE.UNAUTHORIZED
    assert "AADSTS7000215" in (await provider.problem() or "")
    assert "wrong-and-secret" not in caplog.text + refused.value.message


async def test_no_secret_and_no_token_is_logged(cloud: Cloud, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    provider = await cloud.provider()
    await provider.create(spec())
    assert SECRET not in caplog.text
    assert TOKEN not in caplog.text


async def test_workload_identity(cloud: Cloud, tmp_path: Path) -> None:
    cloud.env.delenv("AZURE_CLIENT_SECRET")
    (tmp_path / "federated").write_text("assertion-of-the-cluster")
    cloud.env.setenv("AZURE_FEDERATED_TOKEN_FILE", str(tmp_path / "federated"))
    provider = await cloud.provider()
    assert await provider.list() == ()


async def test_managed_identity_and_an_endpoint_without_tls_on_this_machine(cloud: Cloud) -> None:
    plain = AzureArm()
    plain.page_size = 1
    await plain.start()
    for name in ("AZURE_CLIENT_SECRET", "AZURE_TENANT_ID", "AZURE_CLIENT_ID"):
        cloud.env.delenv(name)
    cloud.env.setenv("IDENTITY_ENDPOINT", f"{plain.url}/msi/token")
    cloud.env.setenv("IDENTITY_HEADER", SECRET)
    provider = await cloud.provider(endpoint=plain.url)
    made = [await provider.create(spec(i)) for i in range(2)]
    assert {i.id for i in await provider.list()} == {i.id for i in made}
    await provider.close()
    await plain.close()


TRANSIENT = {"error": "temporarily_unavailable", "error_description": "AADSTS90033: A transient error has occurred."}


@pytest.mark.parametrize("before", [False, True], ids=["first login", "later"])
@pytest.mark.parametrize(
    ("play", "code", "words"),
    [
        (Play(503, "Service Unavailable"), CODE.INTERNAL, "answered 503 to the login: Service Unavailable"),
        (Play(503, TRANSIENT), CODE.INTERNAL, "AADSTS90033: A transient error"),
        (Play(400, TRANSIENT), CODE.INTERNAL, "AADSTS90033: A transient error"),
        (Play(504, "<html><h1>Gateway Timeout</h1></html>"), CODE.TIMEOUT, "Gateway Timeout"),
        (Play(429, {"error": "too_many_requests"}, {"Retry-After": "7"}), CODE.THROTTLED, "too_many_requests"),
        (Play(None), CODE.TIMEOUT, "did not answer the login in time"),
    ],
    ids=["503", "transient", "transient as 400", "504", "429", "silence"],
)
async def test_a_token_endpoint_in_trouble_is_not_a_wrong_secret(
    cloud: Cloud, play: Play, code: FailureCode, words: str, before: bool
) -> None:
    cloud.arm.token_seconds = 0
    provider = await cloud.provider(call_seconds=0.5 if play.status is None else 10)
    if before:
        await provider.list()
    cloud.arm.script.play("token", play)
    with pytest.raises(ProviderError, match=words) as caught:
        await provider.list()
    assert caught.value.code is code
    assert caught.value.retry_after == (7 if play.status == 429 else None)
    assert "aka.ms" not in caught.value.message
    assert await provider.problem() is None
    assert await provider.list() == ()


async def test_silence_of_the_token_endpoint(cloud: Cloud) -> None:
    cloud.arm.script.hang("token")
    provider = await cloud.provider(call_seconds=0.2)
    with pytest.raises(ProviderError):
        await provider.list()
    assert await provider.list() == ()

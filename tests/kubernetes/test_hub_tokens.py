"""The token of a gated model is read from the real API server, by the name that the Workspace gives."""

from __future__ import annotations

import base64

import pytest

from deploy.local.controlplane import ControlPlane
from services.chassis.kube import SECRETS, KubeClient
from services.contracts.conditions import Reason
from services.scheduler.hub.errors import HubError
from services.scheduler.hub.tokens import SecretTokens
from tests.kubernetes.kube_fixtures import client, namespace

__all__ = ["client", "namespace"]

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_a_secret_gives_its_token(
    client: KubeClient, namespace: str, control_plane: ControlPlane, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(control_plane.kubeconfig))
    coded = base64.b64encode(b"hf_right\n").decode()
    for name, data in {"right": {"HF_TOKEN": coded}, "other": {"TOKEN": coded}}.items():
        await client.create(SECRETS, {"metadata": {"name": name, "namespace": namespace}, "data": data})
    tokens = SecretTokens()
    assert (await tokens.read(namespace, "right")).get_secret_value() == "hf_right"
    for name, words in {"other": "has no key HF_TOKEN", "none": "is not in namespace"}.items():
        with pytest.raises(HubError, match=words) as caught:
            await tokens.read(namespace, name)
        assert caught.value.reason is Reason.SECRET_NOT_FOUND
    await tokens.close()


async def test_an_api_server_that_is_gone_is_told_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", "/nowhere")
    with pytest.raises(HubError, match="cannot be read from Kubernetes now") as caught:
        await SecretTokens().read("default", "s")
    assert caught.value.passes

"""Service account tokens for pods, as the TokenRequest API hands them out."""

from __future__ import annotations

import base64
import time
from typing import NamedTuple

from deploy.local.node.pod import Pod
from services.chassis.kube import (
    SECRETS,
    Forbidden,
    Invalid,
    JsonObject,
    KubeClient,
    NotFound,
    Resource,
    dig_str,
)

_SECONDS = 3600
_RENEW_AFTER = 0.8 * _SECONDS
"""As the kubelet does: a token is asked for anew when four fifths of its life are over."""


class _Token(NamedTuple):
    value: str
    renew_at: float


class Tokens:
    """Asks for tokens and keeps them while they are fresh."""

    def __init__(self, client: KubeClient) -> None:
        self._client = client
        self._kept: dict[tuple[str, str], _Token] = {}

    async def token(self, pod: Pod, audience: str) -> str:
        """A token of the pod's service account, bound to the pod. Raises KubeError.

        A server without TokenRequest keeps tokens in Secrets; then it is that one.
        """
        kept = self._kept.get((pod.metadata.uid, audience))
        if kept and time.monotonic() < kept.renew_at:
            return kept.value
        try:
            value = await self._request(pod, audience)
        except (NotFound, Forbidden, Invalid):
            return await self._from_secret(pod)
        self._kept[pod.metadata.uid, audience] = _Token(value, time.monotonic() + _RENEW_AFTER)
        return value

    def forget(self, uid: str) -> None:
        """Drop the tokens of a pod that is gone."""
        self._kept = {key: token for key, token in self._kept.items() if key[0] != uid}

    async def _request(self, pod: Pod, audience: str) -> str:
        account = pod.spec.service_account_name
        resource = Resource("", "v1", f"serviceaccounts/{account}/token", "TokenRequest")
        answer = await self._client.create(resource, _token_request(pod, audience))
        return dig_str(answer, "status", "token")

    async def _from_secret(self, pod: Pod) -> str:
        """The token in the account's Secret; "" when there is none, and the pod then is nobody to the server."""
        fields = "type=kubernetes.io/service-account-token"
        found = await self._client.list(SECRETS, namespace=pod.metadata.namespace, fields=fields)
        for secret in found.items:
            owner = dig_str(secret, "metadata", "annotations", "kubernetes.io/service-account.name")
            if owner == pod.spec.service_account_name:
                return base64.b64decode(dig_str(secret, "data", "token")).decode()
        return ""


def _token_request(pod: Pod, audience: str) -> JsonObject:
    bound_to = {"apiVersion": "v1", "kind": "Pod", "name": pod.metadata.name, "uid": pod.metadata.uid}
    return {
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenRequest",
        "metadata": {"namespace": pod.metadata.namespace},
        "spec": {
            "audiences": [audience] if audience else None,
            "expirationSeconds": _SECONDS,
            "boundObjectRef": bound_to,
        },
    }

"""Reads the token of a gated model from the secret that a Workspace names. It goes into a request's header only."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final, Protocol

from pydantic import SecretStr

from services.contracts.conditions import Reason
from services.contracts.workspace import SECRET_KEY_HF_TOKEN
from services.scheduler.hub.errors import SECRET_FIELD, HubError

if TYPE_CHECKING:
    from services.chassis.kube import KubeClient

_TOKEN: Final = re.compile(r"[\x21-\x7e]{1,4096}")
"""What a header can carry: visible ASCII without spaces."""


class Tokens(Protocol):
    """Where tokens come from."""

    async def read(self, namespace: str, secret: str) -> SecretStr:
        """The token in a secret. Raises HubError if it is not there, or cannot be had now."""
        ...


class SecretTokens:
    """Tokens from Kubernetes. The first one that is asked for makes the connection: most models need none."""

    def __init__(self) -> None:
        self._kube: KubeClient | None = None

    async def close(self) -> None:
        """Close the connection."""
        if self._kube is not None:
            await self._kube.close()

    async def read(self, namespace: str, secret: str) -> SecretStr:
        """The token in a secret. Raises HubError if it is not there, or cannot be had now."""
        # The library of Kubernetes takes 12 MB, and only gated models need it here.
        from services.chassis.kube import SECRETS, BadKubeconfig, KubeClient, KubeError, ObjectRef, dig_dict

        try:
            if self._kube is None:
                self._kube = await KubeClient.connect()
            found = await self._kube.get(ObjectRef(SECRETS, secret, namespace))
        except (KubeError, BadKubeconfig) as error:
            raise _unreadable(secret, str(error)) from error
        if found is None:
            raise _missing(f"Secret {secret}, named by {SECRET_FIELD}, is not in namespace {namespace}. Create it.")
        return token_of(secret, dig_dict(found, "data"))


def token_of(secret: str, data: Mapping[str, object]) -> SecretStr:
    """The token in a secret's data. Raises HubError, which never repeats what is there."""
    coded = data.get(SECRET_KEY_HF_TOKEN)
    if not isinstance(coded, str):
        raise _missing(f"Secret {secret}, named by {SECRET_FIELD}, has no key {SECRET_KEY_HF_TOKEN}.")
    try:
        text = base64.b64decode(coded, validate=True).decode("ascii").strip()
    except (binascii.Error, UnicodeDecodeError):
        text = ""
    if not _TOKEN.fullmatch(text):
        raise _missing(f"The key {SECRET_KEY_HF_TOKEN} of secret {secret} holds no token: put it there on one line.")
    return SecretStr(text)


def _missing(message: str) -> HubError:
    return HubError(Reason.SECRET_NOT_FOUND, message)


def _unreadable(secret: str, words: str) -> HubError:
    return HubError(
        Reason.MODEL_ACCESS_DENIED, f"Secret {secret} cannot be read from Kubernetes now: {words}.", passes=True
    )

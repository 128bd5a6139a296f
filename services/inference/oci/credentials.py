"""Who we are to a registry: credentials in the form of Docker's config.json, as pull secrets carry them."""

from __future__ import annotations

import base64
import binascii
import json
import re
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final, NamedTuple

from services.inference.oci.errors import OciError
from services.inference.oci.reference import DOCKER_HUB, Reference

KEYS: Final = (".dockerconfigjson", "config.json", ".dockercfg")
"""Files of a folder that hold credentials: the keys of Kubernetes' two kinds of pull secrets, and Docker's own file."""
_HUB_NAMES: Final = frozenset({"index.docker.io", "registry-1.docker.io", "registry.hub.docker.com"})
_HELPER_LIMIT_S: Final = 30.0
_HELPER = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_TOKEN_USER: Final = "<token>"
"""What a credential helper says as the user where the secret is an identity token."""


class Credentials(NamedTuple):
    """A user with a password, or an identity token that is changed for tokens of a short life. Never printed."""

    username: str = ""
    password: str = ""
    identity_token: str = ""

    def __repr__(self) -> str:
        return f"Credentials(username={self.username!r}, ***)"


class DockerConfig(NamedTuple):
    """What a config.json says: credentials by place, and the programs that keep others."""

    auths: Mapping[str, Credentials]
    helpers: Mapping[str, str] = {}
    store: str = ""


def find_credentials(configs: Iterable[DockerConfig], reference: Reference) -> Credentials | None:
    """The credentials for a reference: those of the longest place that it lies in, of the first config that has it.

    As for Kubernetes, a place may be a registry or a registry with the beginning of a repository's name.
    """
    best: tuple[int, Credentials] | None = None
    for config in configs:
        for place, credentials in config.auths.items():
            if _covers(place, reference) and (best is None or len(place) > best[0]):
                best = (len(place), credentials)
        helper = config.helpers.get(reference.registry) or config.store
        if best is None and _HELPER.fullmatch(helper) and (found := _ask_helper(helper, reference)):
            return found
    return best[1] if best else None


def read_configs(paths: Iterable[Path]) -> list[DockerConfig]:
    """Read files, and of folders the files that hold credentials. Raises OciError, which never shows their content."""
    return [read_config(file) for path in paths for file in _files(path)]


def read_config(path: Path) -> DockerConfig:
    """Read one file. Raises OciError."""
    try:
        content: object = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise OciError(f"The credentials in {path} cannot be read: {type(error).__name__}. It must be JSON.") from None
    return parse_config(content, str(path))


def parse_config(content: object, where: str) -> DockerConfig:
    """Read the content of a config.json, or of the older form that is only its `auths`. Raises OciError."""
    if not isinstance(content, dict):
        raise OciError(f"The credentials in {where} must be a JSON object with the key auths.")
    known = {"auths", "credHelpers", "credsStore"} & content.keys()
    auths = content.get("auths") if known else content
    helpers = content.get("credHelpers")
    store = content.get("credsStore")
    return DockerConfig(
        auths=dict(_entries(auths if isinstance(auths, dict) else {}, where)),
        helpers={str(k): str(v) for k, v in helpers.items()} if isinstance(helpers, dict) else {},
        store=store if isinstance(store, str) else "",
    )


def _files(path: Path) -> Iterator[Path]:
    if not path.is_dir():
        yield path
        return
    found = [path / key for key in KEYS if (path / key).is_file()]
    if not found:
        raise OciError(
            f"The pull secret in {path} has none of the keys {', '.join(KEYS)}. "
            "Make it with: kubectl create secret docker-registry."
        )
    yield from found


def _entries(auths: Mapping[object, object], where: str) -> Iterator[tuple[str, Credentials]]:
    for place, entry in auths.items():
        if isinstance(entry, dict) and (credentials := _credentials(entry, str(place), where)):
            yield _place(str(place)), credentials


def _credentials(entry: Mapping[str, object], place: str, where: str) -> Credentials | None:
    def text(key: str) -> str:
        value = entry.get(key)
        return value if isinstance(value, str) else ""

    username, password = text("username"), text("password")
    if text("auth"):
        username, password = _decoded(text("auth"), place, where)
    if text("identitytoken"):
        return Credentials(username=username, identity_token=text("identitytoken"))
    return Credentials(username, password) if username or password else None


def _decoded(auth: str, place: str, where: str) -> tuple[str, str]:
    try:
        username, colon, password = base64.b64decode(auth, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        colon = ""
    if not colon:
        raise OciError(f"The credentials for {place} in {where} are not base64 of user:password.") from None
    return username, password.rstrip("\0")


def _place(text: str) -> str:
    """A key of `auths` without scheme and version: `https://index.docker.io/v1/` is `docker.io`."""
    bare = text.split("://", 1)[-1].strip("/")
    for end in ("/v1", "/v2"):
        bare = bare.removesuffix(end)
    host, slash, path = bare.partition("/")
    return (DOCKER_HUB if host in _HUB_NAMES else host) + slash + path


def _covers(place: str, reference: Reference) -> bool:
    whole = f"{reference.registry}/{reference.repository}"
    return whole == place or whole.startswith(f"{place}/")


def _ask_helper(helper: str, reference: Reference) -> Credentials | None:
    """Ask a program that keeps credentials, as Docker does. None where it has none for the registry."""
    server = "https://index.docker.io/v1/" if reference.registry == DOCKER_HUB else reference.registry
    try:
        asked = subprocess.run(
            [f"docker-credential-{helper}", "get"], input=server.encode(), capture_output=True, timeout=_HELPER_LIMIT_S
        )
        answer: object = json.loads(asked.stdout) if asked.returncode == 0 else None
    except (OSError, ValueError, subprocess.SubprocessError):
        return None
    if not isinstance(answer, dict):
        return None
    username, secret = str(answer.get("Username", "")), str(answer.get("Secret", ""))
    return Credentials(identity_token=secret) if username == _TOKEN_USER else Credentials(username, secret)

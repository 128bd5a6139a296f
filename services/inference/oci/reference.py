"""References to images and artifacts, such as `registry.example.com/team/model:v1`. Pure.

The grammar is that of the distribution project; as for Docker, a name without a registry is on Docker Hub.
"""

from __future__ import annotations

import ipaddress
import re
from typing import Final, NamedTuple

from services.inference.oci.errors import OciError

DOCKER_HUB: Final = "docker.io"
_DOCKER_HOST: Final = "registry-1.docker.io"
_LONGEST: Final = 255
"""Characters of a registry and repository together, as the distribution project limits them."""

_REGISTRY = re.compile(r"(?:[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?")
_REPOSITORY = re.compile(r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128}")


class Reference(NamedTuple):
    """One image or artifact. With a digest the tag says nothing more."""

    registry: str
    repository: str
    tag: str | None = None
    digest: str | None = None

    @property
    def host(self) -> str:
        """Host and port that answer for the registry."""
        return _DOCKER_HOST if self.registry == DOCKER_HUB else self.registry

    @property
    def wanted(self) -> str:
        """What names the manifest: the digest, else the tag, else `latest`."""
        return self.digest or self.tag or "latest"

    @property
    def loopback(self) -> bool:
        """Whether the registry is on this very machine."""
        name = self.registry.rsplit(":", 1)[0] if not self.registry.endswith("]") else self.registry
        if name == "localhost":
            return True
        try:
            return ipaddress.ip_address(name.strip("[]")).is_loopback
        except ValueError:
            return False

    def at(self, digest: str) -> Reference:
        """The same place, pinned to a digest."""
        return self._replace(tag=None, digest=digest)

    def __str__(self) -> str:
        text = f"{self.registry}/{self.repository}"
        text += f":{self.tag}" if self.tag else ""
        return text + (f"@{self.digest}" if self.digest else "")


def parse_reference(text: str) -> Reference:
    """Read a reference. Raises OciError that says which part is wrong."""
    name, at, digest = text.strip().partition("@")
    if at and not _DIGEST.fullmatch(digest):
        raise _wrong(text, "after the @ comes a digest: sha256: and 64 hexadecimal digits in small letters")
    head, slash, rest = name.partition("/")
    if not slash or not ("." in head or ":" in head or head == "localhost"):
        head, rest = DOCKER_HUB, name
    repository, colon, tag = rest.partition(":")
    if colon and not _TAG.fullmatch(tag):
        raise _wrong(text, "a tag has letters, digits, underscores, dots and dashes, and at most 128 of them")
    if not _REGISTRY.fullmatch(head):
        raise _wrong(text, f"{head[:80]!r} is no name of a registry, which is a host with a port or without")
    if not _REPOSITORY.fullmatch(repository) or len(head) + len(repository) > _LONGEST:
        raise _wrong(text, "a repository has small letters, digits and single separators (. _ - /) between them")
    if head in (DOCKER_HUB, "index.docker.io", _DOCKER_HOST):
        head, repository = DOCKER_HUB, repository if "/" in repository else f"library/{repository}"
    return Reference(head, repository, tag or None, digest or None)


def is_digest(text: str) -> bool:
    """Whether it is a digest that can be checked here: sha256 or sha512."""
    return _DIGEST.fullmatch(text) is not None


def _wrong(text: str, why: str) -> OciError:
    return OciError(
        f"{text[:200]!r} is no reference to an image: {why}. An example: registry.example.com/team/model:v1."
    )

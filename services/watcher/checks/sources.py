"""Where files come from: addresses, images, volumes, the hub. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from urllib.parse import urlsplit

from services.contracts.model_source import BadSource, image_source, named_source, wants_local_weights
from services.contracts.workspace import DataSource, WorkspaceSpec


def invalid_model_source(spec: WorkspaceSpec, annotations: Mapping[str, str]) -> Iterator[str]:
    """What is wrong with where a preset's files are said to be."""
    try:
        local = wants_local_weights(annotations)
        named = named_source(spec.preset, annotations) if spec.preset else None
    except BadSource as error:
        yield str(error)
        return
    if local and named:
        yield f"The model's files come from {named.words} and from the node at once: keep one of the two."


def invalid_source(source: DataSource, where: str) -> Iterator[str]:
    """What is wrong with a source of data or of an adapter, the field `where`."""
    given = [bool(source.urls), source.image is not None, source.volume_source is not None]
    if sum(given) != 1:
        yield f"{where} needs exactly one of urls, image and volumeSource."
    for url in source.urls or ():
        yield from _invalid_url(url, where)


def _invalid_url(url: str, where: str) -> Iterator[str]:
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        host = None
    if not host or parts.scheme not in ("http", "https"):
        yield f"{where}.urls takes http and https addresses only, with a host; {_without_secrets(url)!r} is none."
    elif "@" in parts.netloc:
        yield (
            f"{where}.urls: the address of {host} has a user or a password in it, and addresses are told to others. "
            "Use an address that needs none, or an image with imagePullSecrets."
        )


def _without_secrets(url: str) -> str:
    """An address as it may be shown: without user, password and query."""
    plain = url.partition("?")[0].partition("#")[0]
    scheme, slashes, rest = plain.rpartition("//")
    return (scheme + slashes + rest.rpartition("@")[2])[:200]


def invalid_image(image: str | None, where: str) -> Iterator[str]:
    """What is wrong with the reference to an image in the field `where`."""
    try:
        _ = image_source(image, (), where) if image is not None else None
    except BadSource as error:
        yield str(error)

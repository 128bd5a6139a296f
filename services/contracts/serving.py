"""How a model is served, by annotations of the Workspace: one key, and how many requests at once."""

from __future__ import annotations

import re
from collections.abc import Mapping

from pydantic import Field

from services.contracts.base import Contract

ANNOTATION_API_KEY_SECRET = "kaito.sh/api-key-secret"
ANNOTATION_MAX_REQUESTS = "kaito.sh/max-requests"
SECRET_KEY_API_KEY = "API_KEY"
MOST_REQUESTS = 1_000_000

_SECRET_NAME = re.compile(r"(?=.{1,253}$)[a-z0-9]([-a-z0-9.]*[a-z0-9])?")
"""A DNS-1123 subdomain, as names of secrets are."""


class BadServing(Exception):
    """An annotation cannot be read; the message says what to change."""


class Serving(Contract):
    """Set by annotations. `max_requests` are running and waiting ones together; None leaves it to the server."""

    api_key_secret: str | None = None
    max_requests: int | None = Field(default=None, ge=1, le=MOST_REQUESTS)


def serving_of(annotations: Mapping[str, str]) -> Serving:
    """What the annotations say. Raises BadServing."""
    return Serving(
        api_key_secret=_secret(annotations.get(ANNOTATION_API_KEY_SECRET)),
        max_requests=_requests(annotations.get(ANNOTATION_MAX_REQUESTS)),
    )


def _secret(name: str | None) -> str | None:
    if name is not None and not _SECRET_NAME.fullmatch(name):
        raise BadServing(
            f"Annotation {ANNOTATION_API_KEY_SECRET} must be the name of a Secret of this namespace with the key "
            f"{SECRET_KEY_API_KEY}; {name[:100]!r} is no name."
        )
    return name


def _requests(text: str | None) -> int | None:
    if text is None:
        return None
    if not (text.isascii() and text.isdecimal() and len(text) < 10 and 1 <= int(text) <= MOST_REQUESTS):
        raise BadServing(
            f"Annotation {ANNOTATION_MAX_REQUESTS} must be a number from 1 to {MOST_REQUESTS}; it is {text[:100]!r}."
        )
    return int(text)

"""How a model is served, by annotations: its key, requests at once, when it is measured, where it compiles to."""

from __future__ import annotations

import re
from collections.abc import Mapping

from pydantic import Field

from services.contracts.base import Contract

ANNOTATION_API_KEY_SECRET = "kaito.sh/api-key-secret"
ANNOTATION_MAX_REQUESTS = "kaito.sh/max-requests"
ANNOTATION_COMPILE_CACHE = "kaito.sh/compile-cache"
"""`pvc://CLAIM` or `pvc://CLAIM/FOLDER`: keeps what the engine compiles, for all pods and nodes of the Workspace."""
ANNOTATION_BENCHMARK = "kaito.sh/benchmark"
ANNOTATION_DISABLE_BENCHMARK = "kaito.sh/disable-benchmark"
"""KAITO's."""
SECRET_KEY_API_KEY = "API_KEY"
MOST_REQUESTS = 1_000_000

_NAME = re.compile(r"(?=.{1,253}$)[a-z0-9]([-a-z0-9.]*[a-z0-9])?")
"""A DNS-1123 subdomain, as names of secrets and claims are."""
_FOLDER = re.compile(r"(\w[\w.-]{0,99}(/\w[\w.-]{0,99}){0,7})?", re.ASCII)
_NOW = re.compile(r"now(-[A-Za-z0-9._-]{1,50})?")
IDLE = "idle"
OFF = "off"


class BadServing(Exception):
    """An annotation cannot be read; the message says what to change."""


class Claim(Contract):
    """A PersistentVolumeClaim of the Workspace's namespace, and a folder in it; empty is its top."""

    name: str
    folder: str = ""


class Serving(Contract):
    """Set by annotations. `max_requests` are running and waiting ones together; None leaves it to the server.

    `benchmark` is when the server is measured: `off`, `idle` (once nobody uses it), `now`, or `now-` with a word that
    tells one request from the next; None is as the deployer does by default. It reaches the server while that runs.
    `benchmark_fault` says what to write instead of a wish that cannot be read: it is `off` then, and nothing else
    changes.
    """

    api_key_secret: str | None = None
    max_requests: int | None = Field(default=None, ge=1, le=MOST_REQUESTS)
    compile_cache: Claim | None = None
    benchmark: str | None = None
    benchmark_fault: str | None = None

    @property
    def benchmark_wish(self) -> str:
        """The same in a word; without one, and without another default, `idle`."""
        return self.benchmark or IDLE


def serving_of(annotations: Mapping[str, str]) -> Serving:
    """What the annotations say. Raises BadServing, but not for the benchmark: no server hangs on that."""
    benchmark, fault = benchmark_of(annotations)
    return Serving(
        api_key_secret=_secret(annotations.get(ANNOTATION_API_KEY_SECRET)),
        max_requests=_requests(annotations.get(ANNOTATION_MAX_REQUESTS)),
        compile_cache=_claim(annotations.get(ANNOTATION_COMPILE_CACHE)),
        benchmark=benchmark,
        benchmark_fault=fault,
    )


def _secret(name: str | None) -> str | None:
    if name is not None and not _NAME.fullmatch(name):
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


def _claim(text: str | None) -> Claim | None:
    if text is None:
        return None
    name, _, folder = text.removeprefix("pvc://").partition("/")
    if not (text.startswith("pvc://") and _NAME.fullmatch(name) and _FOLDER.fullmatch(folder)):
        raise BadServing(
            f"Annotation {ANNOTATION_COMPILE_CACHE} must be pvc://CLAIM or pvc://CLAIM/FOLDER, with a "
            f"PersistentVolumeClaim of this namespace that pods may write to; it is {text[:200]!r}."
        )
    return Claim(name=name, folder=folder)


def benchmark_of(annotations: Mapping[str, str]) -> tuple[str | None, str | None]:
    """When to measure, and what is wrong with the words for it: `off` while they cannot be read."""
    text = annotations.get(ANNOTATION_BENCHMARK)
    disabled = annotations.get(ANNOTATION_DISABLE_BENCHMARK, "").lower() == "true"
    if text not in (None, IDLE, OFF) and not _NOW.fullmatch(text or ""):
        fault = (
            f"Annotation {ANNOTATION_BENCHMARK} must be off, idle, now, or now- with a word of letters and digits; it "
            f"is {(text or '')[:100]!r}, so the server is not measured."
        )
        return OFF, fault
    if disabled and text not in (None, OFF):
        fault = (
            f"Annotation {ANNOTATION_BENCHMARK} says {text}, and {ANNOTATION_DISABLE_BENCHMARK} says not to measure, "
            "so the server is not measured: remove one of the two."
        )
        return OFF, fault
    return (OFF if disabled else text), None

"""Why a model's facts cannot be had, in words for the person who named the model. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

from services.contracts.conditions import Reason

ASK_AGAIN: Final = 30.0
"""Seconds after which the hub is asked again for what it refused: somebody may have accepted a licence by then."""
LONGEST_PAUSE: Final = 3600.0
"""Longest time for which the hub may ask to be left alone."""
SECRET_FIELD: Final = "presetOptions.modelAccessSecret"


class HubError(Exception):
    """The hub refuses, is not there, or has something that cannot be used; `message` is a sentence.

    `passes` tells that the same question may be answered later with nobody changing anything. `retry_after` are the
    seconds until it is worth asking again, where the hub says so.
    """

    def __init__(self, reason: Reason, message: str, *, passes: bool = False, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.passes = passes
        self.retry_after = retry_after


class FileMissing(HubError):
    """The repository has no such file."""


def refused(model: str, hub: str, status: int, headers: Mapping[str, str], *, with_token: bool) -> HubError:
    """What an answer of 400 or more means. `hub` is the hub's address without credentials.

    The hub tells in `X-Error-Code` what it means; of a repository that is not there it says 401, so that nobody
    learns which private ones exist.
    """
    code = headers.get("X-Error-Code", "")
    if status == 429:
        return _throttled(hub, retry_after(headers, datetime.now(UTC)))
    if status >= 500 or status == 408:
        return unavailable(hub, f"it answers with status {status}", retry_after(headers, datetime.now(UTC)))
    if code == "EntryNotFound":
        return FileMissing(Reason.MODEL_NOT_SUPPORTED, f"{model} lacks a file that is needed.")
    if code == "RevisionNotFound":
        return HubError(
            Reason.MODEL_NOT_FOUND,
            f"The hub at {hub} no longer has the commit of {model} that was planned. Delete the Workspace and create "
            "it anew to have the newest.",
        )
    if code == "GatedRepo" or (status == 403 and code != "RepoNotFound"):
        return _gated(model, hub, with_token=with_token)
    if status == 401 and code != "RepoNotFound" and with_token:
        return _denied(
            f"The hub does not accept the token of the secret in {SECRET_FIELD}. Put a valid one into its key HF_TOKEN."
        )
    if status in (401, 404):
        return _not_found(model, hub, with_token=with_token)
    return HubError(Reason.HUB_UNAVAILABLE, f"The hub at {hub} answers with status {status} for {model}.", passes=True)


def unavailable(hub: str, words: str, after: float | None = None) -> HubError:
    """The hub is not there, or not in order. It is asked again."""
    return HubError(
        Reason.HUB_UNAVAILABLE,
        f"The hub at {hub} cannot be used now: {words}.",
        passes=True,
        retry_after=after,
    )


def unusable(message: str) -> HubError:
    """What the repository holds is not what this version can size and serve."""
    return HubError(Reason.MODEL_NOT_SUPPORTED, message)


def retry_after(headers: Mapping[str, str], now: datetime) -> float | None:
    """Seconds by the header `Retry-After` (a number or a date, RFC 9110, section 10.2.3), within bounds."""
    text = headers.get("Retry-After", "").strip()
    if text.isascii() and text.isdecimal() and len(text) < 10:
        return min(float(text), LONGEST_PAUSE)
    try:
        at = parsedate_to_datetime(text)
    except ValueError:
        return None
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    return min(max(0.0, (at - now).total_seconds()), LONGEST_PAUSE)


def _throttled(hub: str, after: float | None) -> HubError:
    pause = ASK_AGAIN if after is None else after
    return HubError(
        Reason.HUB_UNAVAILABLE,
        f"The hub at {hub} gets too many questions (status 429) and wants to be left alone for {pause:.0f} s.",
        passes=True,
        retry_after=pause,
    )


def _not_found(model: str, hub: str, *, with_token: bool) -> HubError:
    private = (
        f"or the account of the token in {SECRET_FIELD} may not see it."
        if with_token
        else f"or it is private. If it is, name a secret with a token (key HF_TOKEN) in {SECRET_FIELD}."
    )
    return HubError(Reason.MODEL_NOT_FOUND, f"The hub at {hub} has no model '{model}', {private} Check the spelling.")


def _gated(model: str, hub: str, *, with_token: bool) -> HubError:
    if with_token:
        return _denied(
            f"{model} is gated, and the account of the token in {SECRET_FIELD} has no access to it: ask for it at "
            f"{hub}/{model}, or see that the token may read gated repositories."
        )
    return _denied(
        f"{model} is gated: accept its licence at {hub}/{model}, and name a secret with a token (key HF_TOKEN) in "
        f"{SECRET_FIELD}."
    )


def _denied(message: str) -> HubError:
    return HubError(Reason.MODEL_ACCESS_DENIED, message)

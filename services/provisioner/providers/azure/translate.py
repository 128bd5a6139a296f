"""Turns what the SDK raises into the provider's own errors."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

from azure.core.exceptions import (
    AzureError,
    ClientAuthenticationError,
    HttpResponseError,
    ServiceRequestTimeoutError,
    ServiceResponseTimeoutError,
)

from services.contracts.errors import FailureCode, ProviderError
from services.provisioner.providers.azure.refusal import LONGEST, Refusal, read

log = logging.getLogger(__name__)

_TAGS: Final = re.compile(r"<(style|script).*?</\1>|<[^>]*>", re.IGNORECASE | re.DOTALL)
_AWAY: Final = re.compile("Unexpected response from Microsoft Entra ID")
"""azure-identity's words where the token endpoint is in trouble; it raises the same error as for a wrong secret."""
PATIENCE: Final = 10.0
"""Seconds to wait for another operation of the cluster, which may take minutes."""
LONGEST_WAIT: Final = 3600.0


class Refused(ProviderError):
    """Azure has answered, with an error. `busy`: it is still at work on something that it was asked before."""

    def __init__(self, refusal: Refusal, status: int | None, retry_after: float | None) -> None:
        self.refusal = refusal
        self.busy = refusal.busy and status in (400, 409)
        self.status = status
        code = FailureCode.THROTTLED if self.busy else refusal.code(status)
        wait = retry_after if retry_after is not None else refusal.retry_after
        wait = PATIENCE if wait is None and self.busy else wait
        # A full quota names no time; what is said to pass soon is believed.
        super().__init__(code, refusal.text, retry_after=wait if code.passes else None)


@contextmanager
def translated(what: str) -> Iterator[None]:
    """Raise `ProviderError`, and nothing else, for whatever goes wrong inside. `what` names the call in its text."""
    try:
        yield
    except HttpResponseError as error:
        raise _refused(error, what) from error
    except (ServiceRequestTimeoutError, ServiceResponseTimeoutError) as error:
        raise ProviderError(FailureCode.TIMEOUT, f"Azure did not answer in time to {what}: {line(error)}") from error
    except (AzureError, OSError) as error:
        raise ProviderError(FailureCode.INTERNAL, f"Azure cannot be reached to {what}: {line(error)}") from error
    except (ValueError, TypeError, LookupError, AttributeError) as error:
        text = f"Azure's answer to {what} is not what its API says: {line(error)}"
        raise ProviderError(FailureCode.INTERNAL, text) from error


def _refused(error: HttpResponseError, what: str) -> ProviderError:
    status, headers, body = _parts(error)
    if status is None or 200 <= status < 300:
        refused = isinstance(error, ClientAuthenticationError) and not _AWAY.search(line(error))
        code = FailureCode.UNAUTHORIZED if refused else FailureCode.INTERNAL
        return ProviderError(code, f"Azure, asked to {what}: {line(error)}")
    if isinstance(error, ClientAuthenticationError) and status < 429:
        # The token endpoint answers a wrong secret with 400 or 401.
        status = 401
    fallback = f"Azure answered {status} to {what}: {_page(error)}"
    return Refused(read(body, fallback), status, retry_after(headers))


def _parts(error: HttpResponseError) -> tuple[int | None, dict[str, str], object]:
    """Status, headers (names in lower case) and JSON body of the answer; None where there was none."""
    response = error.response
    if response is None:
        return None, {}, None
    # The SDK's type leaves the headers out, which every answer has.
    found = getattr(response, "headers", {})
    headers = {str(key).lower(): str(value) for key, value in found.items()}
    try:
        body: object = json.loads(response.text())
    except (ValueError, AzureError):
        body = None
    return response.status_code, headers, body


def retry_after(headers: dict[str, str]) -> float | None:
    """The seconds in a Retry-After header, which has a number or a date (RFC 9110, 10.2.3). At most an hour.

    A date is compared with the answer's own: the clock of this machine may be wrong. Azure's front ends also send
    milliseconds, under names of their own.
    """
    milliseconds = headers.get("retry-after-ms") or headers.get("x-ms-retry-after-ms")
    try:
        seconds = float(milliseconds) / 1000 if milliseconds else float(headers.get("retry-after", ""))
    except ValueError:
        until, now = _date(headers.get("retry-after")), _date(headers.get("date")) or datetime.now(UTC)
        seconds = (until - now).total_seconds() if until else float("nan")
    return min(LONGEST_WAIT, max(0.0, seconds)) if seconds == seconds else None


def _date(text: str | None) -> datetime | None:
    """A date as HTTP writes it, which is always in UTC; None if it is none."""
    try:
        found = parsedate_to_datetime(text) if text else None
    except ValueError:
        return None
    return found.replace(tzinfo=UTC) if found and found.tzinfo is None else found


def _page(error: HttpResponseError) -> str:
    """The words of an answer that is no JSON, such as a proxy's page, without its tags; the SDK's where it has none."""
    try:
        text = str(error.response.text()) if error.response else ""
    except (ValueError, AzureError):
        text = ""
    return words(text) or line(error)


def words(page: str) -> str:
    """The words of a page, in one line, without its tags."""
    return " ".join(_TAGS.sub(" ", page).split())[:LONGEST]


def line(error: Exception) -> str:
    """The error's text in one line. It is what azure-core or azure-identity say; neither puts a secret there."""
    text = getattr(error, "message", None) or str(error) or type(error).__name__
    return " ".join(str(text).split())[:LONGEST]

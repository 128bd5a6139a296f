"""Where the hub is, and where it may send us. Pure."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Final

from yarl import URL

from services.contracts.conditions import Reason
from services.scheduler.hub.errors import HubError

DEFAULT: Final = "https://huggingface.co"


class BadEndpoint(ValueError):
    """The address of the hub is none; the message says what to change."""


class Endpoint:
    """The address of a hub, such as https://huggingface.co. Raises BadEndpoint if it is no http(s) address."""

    def __init__(self, address: str) -> None:
        try:
            self._base = URL(address.strip().rstrip("/"))
        except ValueError as error:
            raise BadEndpoint(f"HF_ENDPOINT must be an address such as {DEFAULT}") from error
        if self._base.scheme not in ("http", "https") or not self._base.host or self._base.user is not None:
            raise BadEndpoint(f"HF_ENDPOINT must be an address such as {DEFAULT}, without user and password")

    @property
    def scheme(self) -> str:
        """The protocol: http or https."""
        return self._base.scheme

    @property
    def shown(self) -> str:
        """The address in words."""
        return str(self._base).rstrip("/")

    @property
    def loopback(self) -> bool:
        """Whether it is this machine."""
        host = self._base.host or ""
        try:
            return host == "localhost" or ip_address(host).is_loopback
        except ValueError:
            return False

    def url(self, path: str) -> URL:
        """The address of a path with its query, both quoted already."""
        return URL(f"{self.shown}{path}", encoded=True)

    def owns(self, url: URL) -> bool:
        """Whether an address is the hub's own, so that it may get the token."""
        return url.origin() == self._base.origin()


def follow(endpoint: Endpoint, asked: URL, location: str | None) -> URL:
    """Where a redirect leads. Raises HubError if it leads nowhere, or away from https."""
    try:
        target = asked.join(URL(location or "", encoded=True))
    except ValueError:
        target = URL()
    if target.host and target.scheme in ("https", endpoint.scheme) and target.user is None:
        return target.with_fragment(None)
    raise HubError(
        Reason.HUB_UNAVAILABLE,
        f"The hub at {endpoint.shown} leads to an address that is not followed: only https is.",
        passes=True,
    )

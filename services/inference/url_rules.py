"""What may be fetched from a URL, from where, and under which name it is kept. Pure."""

from __future__ import annotations

import ipaddress
import re
import unicodedata
from typing import Final, NamedTuple
from urllib.parse import unquote, urlsplit

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Address = ipaddress.IPv4Address | ipaddress.IPv6Address

CLOUD_ADDRESSES: Final = frozenset({ipaddress.ip_address("168.63.129.16")})
"""Public addresses that are a cloud's own within it (Azure's agent). Other clouds' are link-local or private."""
_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")
"""RFC 6052: the last 32 bits are the IPv4 address that is really reached."""
_PUBLIC_IPV6: Final = ipaddress.IPv6Network("2000::/3")
"""RFC 4291: all that was ever given out."""
_LONGEST_NAME: Final = 180
_NOT_IN_NAMES: Final = re.compile(r"[^\w.+=@ -]")


class UrlError(Exception):
    """A file could not be had. The message is for a person; `passes` where trying again may help.

    `after` are the seconds that the server asked to wait.
    """

    def __init__(self, message: str, *, passes: bool = False, after: float | None = None) -> None:
        super().__init__(message)
        self.passes = passes
        self.after = after


class UrlRules(NamedTuple):
    """What is let through: all files together have at most `bytes`, and take at most `seconds`.

    Only addresses of the public internet are connected to, and those of `networks`.
    """

    bytes: int = 256 * 2**30
    seconds: float = 6 * 3600.0
    plain_http: bool = False
    networks: tuple[Network, ...] = ()
    redirects: int = 5


def is_allowed(address: str, networks: tuple[Network, ...] = ()) -> bool:
    """Whether a numeric address may be connected to."""
    try:
        found = real_address(ipaddress.ip_address(address.partition("%")[0]))
    except ValueError:
        return False
    if any(found in network for network in networks if network.version == found.version):
        return True
    if found.version == 6 and found not in _PUBLIC_IPV6:
        return False  # also what only translates to IPv4, or is of one site (RFC 8215, 3879, 2765)
    return found.is_global and not found.is_multicast and found not in CLOUD_ADDRESSES


def real_address(address: Address) -> Address:
    """The IPv4 address that an IPv6 address stands for, where it does: mapped, 6to4, Teredo and NAT64."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    teredo = address.teredo[1] if address.teredo else None
    return address.ipv4_mapped or address.sixtofour or teredo or address


def check_url(url: str, rules: UrlRules) -> None:
    """Raises UrlError where an address must not even be asked for its host."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise UrlError(f"{shown_url(url)} is no address of a file.") from None
    if parts.scheme not in ("http", "https") or not host or any(c.isspace() or not c.isprintable() for c in url):
        raise UrlError(f"{shown_url(url)} is no http or https address.")
    if parts.scheme == "http" and not rules.plain_http:
        raise UrlError(f"{shown_url(url)} is plain http, over which anybody on the way can change the file. Use https.")
    if parts.username is not None or parts.password is not None:
        raise UrlError(
            f"{shown_url(url)} holds a user or a password, which all who can read the Workspace would see. "
            "Use an address that needs none, a volume, or an image with a pull secret."
        )


def shown_url(url: str) -> str:
    """An address for a message: without user, password and query, which may be secret, and not endless."""
    try:
        parts = urlsplit(url)
        host = (parts.hostname or "") + (f":{parts.port}" if parts.port else "")
    except ValueError:
        return "The address"
    text = f"{parts.scheme}://{host}{parts.path}"
    return "".join(c for c in text if c.isprintable())[:300]


def file_name(url: str, told: str | None) -> str:
    """The name under which a file is kept: the one that the server told, else the last part of the address.

    It has no folder, no hidden or control characters, and is never empty.
    """
    for text in (told, unquote(urlsplit(url).path)):
        if name := _safe(text or ""):
            return name
    return "download"


def free_name(name: str, taken: set[str]) -> str:
    """The name, with a number before its end where it is taken."""
    stem, dot, end = name.partition(".")
    names = (name, *(f"{stem}-{n}{dot}{end}" for n in range(2, len(taken) + 3)))
    return next(one for one in names if one not in taken)


def _safe(text: str) -> str:
    last = re.split(r"[/\\]", text)[-1]
    name = _NOT_IN_NAMES.sub("_", unicodedata.normalize("NFC", last)).strip(". ")
    while len(name.encode()) > _LONGEST_NAME:  # the end says what format it is, so the beginning is cut
        name = name[1:].lstrip(". ")
    return name

"""What a workspace may ask of its Azure machines, by annotations under azure.kaito.sh/. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from services.contracts.base import Contract
from services.contracts.errors import FailureCode, ProviderError
from services.provisioner.parameters import refuse_unknown
from services.provisioner.providers.azure.settings import AzureSettings

DISKS: Final = {"ephemeral": "Ephemeral", "managed": "Managed"}


class Wishes(Contract):
    """`disk` is None where Azure is to choose; `max_price` is in US dollars an hour, -1 for no limit but the price."""

    zones: tuple[str, ...] = ()
    spot: bool = False
    max_price: float = -1
    disk: str | None = None


def read(parameters: Mapping[str, str], settings: AzureSettings) -> Wishes:
    """The parameters, or the settings where there are none.

    Raises `ProviderError` (InvalidRequest) for an unknown name, which may be a misspelt one, or a bad value.
    """
    refuse_unknown("azure", parameters, _KNOWN)
    given = {"zones": settings.zones, "spot": str(settings.spot).lower(), **parameters}
    return Wishes.model_validate({_FIELDS[name]: _KNOWN[name](name, text.strip()) for name, text in given.items()})


def zones_in(text: str) -> tuple[str, ...]:
    """The zones in a list such as "1,2"."""
    return tuple(dict.fromkeys(zone.strip() for zone in text.split(",") if zone.strip()))


def _zones(name: str, text: str) -> tuple[str, ...]:
    found = zones_in(text)
    if not all(zone.isascii() and zone.isdigit() for zone in found):
        raise _bad(name, f'{text!r} is no list of zones such as "1,2"')
    return found


def _yes_or_no(name: str, text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise _bad(name, f"{text!r} is neither true nor false")
    return text.lower() == "true"


def _price(name: str, text: str) -> float:
    try:
        price = float(text)
    except ValueError:
        price = 0.0
    if not (price == -1 or 0 < price < 10_000):
        raise _bad(name, f"{text!r} is no price in dollars an hour, nor -1")
    return price


def _disk(name: str, text: str) -> str:
    if text.lower() not in DISKS:
        raise _bad(name, f"{text!r} is none of {', '.join(DISKS)}")
    return DISKS[text.lower()]


_KNOWN: Final[dict[str, Callable[[str, str], object]]] = {
    "zones": _zones,
    "spot": _yes_or_no,
    "spot-max-price": _price,
    "os-disk": _disk,
}
_FIELDS: Final = {"zones": "zones", "spot": "spot", "spot-max-price": "max_price", "os-disk": "disk"}


def _bad(name: str, text: str) -> ProviderError:
    return ProviderError(FailureCode.INVALID_REQUEST, f"azure.kaito.sh/{name}: {text}")

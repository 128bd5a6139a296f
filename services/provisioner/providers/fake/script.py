"""What a demand's parameters ask of the fake cloud: its pace, and the faults that it is to show. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_snake

from services.contracts.errors import FailureCode, ProviderError
from services.provisioner.providers.fake.settings import FakeSettings

ONCE: Final = 1.0


class Script(BaseModel):
    """The parameters that are there, by their names with underscores. Times are in seconds.

    `*_times` says how often a fault is shown to each machine, before all goes well.
    """

    model_config = ConfigDict(frozen=True)

    boot_seconds: float
    fail: FailureCode | None = None
    """The cloud refuses to make the machine."""
    fail_times: float = float("inf")
    fail_message: str = ""
    retry_after: float | None = None
    """What the refusal says about when to come back."""
    late_seconds: float | None = None
    """The cloud does not answer, and yet makes the machine, so much later."""
    vanish_after_seconds: float | None = None
    """The machine is taken away so long after it has booted."""
    vanish_times: float = ONCE
    not_ready_after_seconds: float | None = None
    """The node turns NotReady so long after it has booted, and stays so."""
    not_ready_times: float = ONCE
    crash_once: bool = False
    """The process ends itself after the machine was made, and before anything is reported; once for each demand."""

    @classmethod
    def of(cls, parameters: Mapping[str, str], settings: FakeSettings) -> Script:
        """Read a demand's parameters. Raises `ProviderError` (InvalidRequest) for a value that makes no sense."""
        read = {to_snake(key): _value(key, text) for key, text in parameters.items() if to_snake(key) in _READERS}
        return cls.model_validate({"boot_seconds": settings.boot_seconds} | read)

    def refusal(self, times: int) -> ProviderError | None:
        """What the cloud answers when it was asked for the machine that often before."""
        if self.fail is None or times >= self.fail_times:
            return None
        message = self.fail_message or f"the fake cloud was told to answer {self.fail}"
        return ProviderError(self.fail, message, retry_after=self.retry_after)


def _value(name: str, text: str) -> object:
    try:
        return _READERS[to_snake(name)](text)
    except ValueError as error:
        raise ProviderError(FailureCode.INVALID_REQUEST, f"fake.kaito.sh/{name}: {text!r} {error}") from error


def _number(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not number >= 0:
        raise ValueError("is no number from 0 up")
    return number


def _code(text: str) -> FailureCode:
    if text not in set(FailureCode):
        raise ValueError(f"is none of {', '.join(FailureCode)}")
    return FailureCode(text)


def _switch(text: str) -> bool:
    if text not in ("true", "false"):
        raise ValueError("is neither true nor false")
    return text == "true"


_READERS: Final[Mapping[str, Callable[[str], object]]] = {
    "boot_seconds": _number,
    "fail": _code,
    "fail_times": _number,
    "fail_message": str,
    "retry_after": _number,
    "late_seconds": _number,
    "vanish_after_seconds": _number,
    "vanish_times": _number,
    "not_ready_after_seconds": _number,
    "not_ready_times": _number,
    "crash_once": _switch,
}
"""How each parameter's text is read; each raises ValueError with the end of a sentence. Others are ignored."""

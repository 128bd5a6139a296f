"""How fast the fake cloud is. A demand may ask for another pace, or for a failure."""

from __future__ import annotations

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from services.contracts.errors import FailureCode, ProviderError


class FakeSettings(BaseSettings):
    """From the environment, with the prefix KAITOBUS_FAKE_. Times are in seconds."""

    model_config = SettingsConfigDict(env_prefix="KAITOBUS_FAKE_", frozen=True, extra="ignore")

    boot_seconds: float = Field(default=3, ge=0)
    """From the request to the ready node."""
    pull_seconds: float = Field(default=2, ge=0)
    """A pod's containers stay in ContainerCreating for so long."""
    start_seconds: float = Field(default=2, ge=0)
    """From the running to the ready container."""
    job_seconds: float = Field(default=5, ge=0)
    """A pod that is meant to end runs for so long."""
    heartbeat_seconds: float = Field(default=15, gt=0, lt=40)
    """Between two renewals of a node's lease. Kubernetes takes a node for dead after 40 s."""


class Script:
    """What a demand's parameters ask for: `boot-seconds`, `fail` (a failure code), `fail-times`, `fail-message`."""

    def __init__(self, settings: FakeSettings) -> None:
        self._settings = settings
        self._failed: dict[str, int] = {}

    def boot_seconds(self, parameters: dict[str, str]) -> float:
        """Raises `ProviderError` (InvalidRequest) for what is no number of seconds."""
        text = parameters.get("boot-seconds")
        return self._settings.boot_seconds if text is None else _number("boot-seconds", text)

    def play(self, machine: str, parameters: dict[str, str]) -> None:
        """Raise the `ProviderError` that the script has for this machine now. This process counts the times."""
        wanted = parameters.get("fail")
        if wanted is None:
            return
        times = _number("fail-times", parameters.get("fail-times", "inf"))
        if wanted not in set(FailureCode):
            text = f"fake.kaito.sh/fail: {wanted!r} is none of {', '.join(FailureCode)}"
            raise ProviderError(FailureCode.INVALID_REQUEST, text)
        done = self._failed.get(machine, 0)
        if done < times:
            self._failed[machine] = done + 1
            message = parameters.get("fail-message", f"the fake cloud was told to answer {wanted}")
            raise ProviderError(FailureCode(wanted), message)


def _number(name: str, text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not number >= 0:
        raise ProviderError(FailureCode.INVALID_REQUEST, f"fake.kaito.sh/{name}: {text!r} is no number from 0 up")
    return number

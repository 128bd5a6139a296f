"""How fast the fake cloud is. A demand may ask for another pace."""

from __future__ import annotations

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


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
    allow_crash: bool = False
    """Whether a demand's script may end this process (`crash-once`)."""

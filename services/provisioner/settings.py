"""The provisioner's settings, beside those that every service has. A provider has its own on top."""

from __future__ import annotations

from datetime import timedelta

from pydantic import Field

from services.chassis.settings import Settings
from services.provisioner.refusals import Pauses
from services.provisioner.view import Deadlines


class ProvisionerSettings(Settings):
    """From the environment, with the prefix KAITOBUS_. Times are in seconds."""

    provider: str = "local"
    """The provider that this process serves."""
    provider_name: str | None = None
    """Another name to serve it under, so that two of a kind can run side by side."""
    launch_seconds: float = Field(default=300, gt=0)
    registration_seconds: float = Field(default=900, gt=0)
    not_ready_seconds: float = Field(default=600, gt=0)
    """A node that was ready, and is NotReady for so long, is replaced."""
    refusal_seconds: float = Field(default=180, gt=0)
    """How long nothing is asked for after a refusal that does not pass by itself."""
    retry_seconds: float = Field(default=10, gt=0)
    """The same after one that may."""
    offer_seconds: float = Field(default=20, gt=0)
    collect_seconds: float = Field(default=30, gt=0)
    """Between two looks for machines that nobody wants."""
    grace_seconds: float = Field(default=60, ge=0)
    """A machine younger than this is never collected."""
    settle_seconds: float = Field(default=60, ge=0)
    """Nothing is collected for so long after the start, or after API server or bus were away."""
    cloud_concurrency: int = Field(default=16, ge=1)
    """Calls to the cloud at the same time."""
    cloud_rate: float = Field(default=20, gt=0)
    """Calls to the cloud a second that create or delete. Clouds allow few; and a burst takes nothing from the rest."""
    cloud_timeout_seconds: float = Field(default=15, gt=0)
    """What one call to the cloud may take."""

    @property
    def name(self) -> str:
        """The name in subjects, offers and labels."""
        return self.provider_name or self.provider

    @property
    def deadlines(self) -> Deadlines:
        """How long a machine may take."""
        return Deadlines(
            launch=timedelta(seconds=self.launch_seconds),
            registration=timedelta(seconds=self.registration_seconds),
            not_ready=timedelta(seconds=self.not_ready_seconds),
        )

    @property
    def pauses(self) -> Pauses:
        """How long is waited after a refusal."""
        return Pauses(terminal=timedelta(seconds=self.refusal_seconds), passing=timedelta(seconds=self.retry_seconds))

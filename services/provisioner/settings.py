"""The provisioner's settings, beside those that every service has. A provider has its own on top."""

from __future__ import annotations

from datetime import timedelta

from pydantic import Field

from services.chassis.settings import Settings
from services.provisioner.provider import Deadlines
from services.provisioner.refusals import Pauses


class ProvisionerSettings(Settings):
    """From the environment, with the prefix KAITOBUS_. Times are in seconds."""

    provider: str = "local"
    """The provider that this process serves."""
    provider_name: str | None = None
    """Another name to serve it under, so that two of a kind can run side by side."""
    launch_seconds: float | None = Field(default=None, gt=0)
    """A machine must run so long after it was asked for. Not set: what the provider says, else 300."""
    registration_seconds: float | None = Field(default=None, gt=0)
    """Its node must be ready by then, counted from the same moment. Not set: what the provider says, else 900."""
    not_ready_seconds: float | None = Field(default=None, gt=0)
    """A node that was ready, and is NotReady for so long, is replaced. Not set: what the provider says, else 600."""
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

    def deadlines(self, own: Deadlines) -> Deadlines:
        """How long a machine may take; `own` are the provider's, and what is set counts more."""
        given = {
            "launch": self.launch_seconds,
            "registration": self.registration_seconds,
            "not_ready": self.not_ready_seconds,
        }
        set_here = {name: timedelta(seconds=seconds) for name, seconds in given.items() if seconds is not None}
        return own.model_copy(update=set_here)

    @property
    def pauses(self) -> Pauses:
        """How long is waited after a refusal."""
        return Pauses(terminal=timedelta(seconds=self.refusal_seconds), passing=timedelta(seconds=self.retry_seconds))

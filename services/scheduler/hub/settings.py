"""Where the hub is, by the environment variables that the hub's own tools have."""

from __future__ import annotations

from pydantic import SecretStr, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from services.scheduler.hub.redirects import DEFAULT


class HubSettings(BaseSettings):
    """Settings of whatever asks a hub. The token is for a person's own commands; services read it from secrets."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore")

    hf_endpoint: str = DEFAULT
    """The hub, or a mirror of it."""
    hf_hub_offline: bool = False
    """True where there is no hub: then the catalogue's models are all that can be named."""
    hf_token: SecretStr | None = None

    @field_validator("hf_endpoint")
    @classmethod
    def _default_for_empty(cls, value: str) -> str:
        return value or DEFAULT

"""Which AKS cluster machines are made for, and how. Credentials are no settings: azure-identity finds them."""

from __future__ import annotations

from ipaddress import ip_address
from pathlib import Path
from typing import Final, Self
from urllib.parse import urlsplit

from pydantic import Field, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

AUTHORITIES: Final = {
    ".usgovcloudapi.net": "login.microsoftonline.us",
    ".chinacloudapi.cn": "login.partner.microsoftonline.cn",
}
"""Where the clouds beside the public one give out tokens, by the end of their endpoint's name."""
PUBLIC: Final = "https://management.azure.com"
API_VERSION: Final = "2026-08-01"
"""Of Microsoft.ContainerService: the one that the SDK's models are made from."""


class AzureSettings(BaseSettings):
    """From the environment, with the prefix KAITOBUS_AZURE_; the subscription from AZURE_SUBSCRIPTION_ID."""

    model_config = SettingsConfigDict(
        env_prefix="KAITOBUS_AZURE_", frozen=True, extra="ignore", populate_by_name=True, hide_input_in_errors=True
    )

    subscription_id: str = Field(validation_alias="AZURE_SUBSCRIPTION_ID", min_length=1)
    resource_group: str = Field(min_length=1)
    """The resource group of the cluster, not the one that AKS makes for the nodes."""
    cluster: str = Field(min_length=1)
    region: str = Field(min_length=1)
    """As Azure names it in its API: eastus, westeurope."""
    endpoint: str = PUBLIC
    """Azure Resource Manager. Others have it elsewhere: https://management.usgovcloudapi.net, ...chinacloudapi.cn."""
    audience: str = ""
    """For whom tokens are asked; the endpoint, if it is not given."""
    api_version: str = API_VERSION
    """For a cloud that does not know the newest yet."""
    ca_file: Path | None = None
    """Authorities (PEM) to trust instead of the usual ones, where the endpoint or a proxy has its own."""

    subnet_id: str = ""
    """The subnet of the nodes; the cluster's own, if it is not given."""
    zones: str = ""
    """Availability zones, such as "1,2"; Azure chooses, if none is given."""
    spot: bool = False
    """Whether machines are spot machines, where the workspace does not say so."""

    call_seconds: float = Field(default=12, gt=0)
    """Azure must answer within so long. Keep it below the provisioner's own limit of a call."""
    list_seconds: float = Field(default=2, ge=0)
    """For so long a list of the pools is good for everyone who asks."""
    poll_seconds: float = Field(default=5, ge=0)
    """Between two looks at an operation that goes on."""
    market_seconds: float = Field(default=300, gt=0)
    """For so long what was read of sizes and quota is good."""

    @field_validator("endpoint")
    @classmethod
    def _safe(cls, endpoint: str) -> str:
        """Tokens go to this address: it must have TLS, or be on this machine."""
        parts = urlsplit(endpoint)
        if parts.scheme == "https" and parts.hostname:
            return endpoint.rstrip("/")
        if parts.scheme == "http" and is_loopback(parts.hostname or ""):
            return endpoint.rstrip("/")
        raise ValueError("must begin with https://, or be an http:// address of this machine")

    @model_validator(mode="after")
    def _readable(self) -> Self:
        if self.ca_file is not None and not self.ca_file.is_file():
            raise ValueError(f"KAITOBUS_AZURE_CA_FILE: there is no file {self.ca_file}")
        return self

    @property
    def plain_http(self) -> bool:
        """Whether the endpoint has no TLS, as only one on this machine may."""
        return self.endpoint.startswith("http://")

    @property
    def authority(self) -> str | None:
        """Who gives out tokens for the endpoint; None for the usual one, or that of AZURE_AUTHORITY_HOST."""
        host = urlsplit(self.endpoint).hostname or ""
        return next((login for end, login in AUTHORITIES.items() if host.endswith(end)), None)

    @property
    def scope(self) -> str:
        """The scope of the tokens. An endpoint on this machine stands for Azure's public one."""
        here = is_loopback(urlsplit(self.endpoint).hostname or "")
        return f"{self.audience or (PUBLIC if here else self.endpoint)}/.default"


def is_loopback(host: str) -> bool:
    """Whether a host's name or address is this machine's own."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def what_is_wrong(error: ValidationError) -> str:
    """What to set, and to what, in a sentence for the person who starts the process."""
    found = []
    for problem in error.errors():
        name = str(problem["loc"][0]) if problem["loc"] else ""
        variable = name if name.isupper() or not name else f"KAITOBUS_AZURE_{name.upper()}"
        text = problem["msg"].removeprefix("Value error, ")
        missing = problem["type"] in ("missing", "string_too_short")
        found.append(f"{variable} is not set" if missing else f"{variable} {text}".strip())
    return "; ".join(found)

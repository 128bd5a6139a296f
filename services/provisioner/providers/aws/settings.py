"""What the AWS provider must be told. Credentials and endpoints are read by AWS's own SDK, as everywhere."""

from __future__ import annotations

from typing import Annotated

from pydantic import AliasChoices, Field, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict


class AwsSettings(BaseSettings):
    """From the environment, with the prefix KAITOBUS_AWS_. Times are in seconds."""

    model_config = SettingsConfigDict(env_prefix="KAITOBUS_AWS_", frozen=True, extra="ignore", populate_by_name=True)

    cluster: str = Field(min_length=1)
    """The name of the EKS cluster."""
    subnets: Annotated[tuple[str, ...], NoDecode, Field(min_length=1)]
    """The ids of the subnets that nodes may be put into, separated by commas."""
    node_role: str = Field(pattern=r"^arn:[a-z-]+:iam::\d{12}:role/.+$")
    """The ARN of the IAM role that nodes take on."""
    region: str | None = Field(default=None, validation_alias=AliasChoices("AWS_REGION", "AWS_DEFAULT_REGION"))
    """As EKS puts it into pods; without it the SDK's own configuration decides."""
    disk_gib: int = Field(default=100, gt=0)
    """The disk of a node whose plan asks for none."""
    request_seconds: float = Field(default=5, gt=0)
    """What one HTTP request may take. The SDK tries twice."""
    list_seconds: float = Field(default=2, ge=0)
    """For so long a list of the node groups is good for everyone who asks."""
    rest_seconds: float = Field(default=20, ge=0)
    """For so long what EKS said of a group that is active, and lacks nothing, is good."""
    threads: int = Field(default=8, ge=1)
    """Requests at the same time."""

    @field_validator("subnets", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value

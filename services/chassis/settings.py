"""Settings that every service has. They come from the environment alone, with the prefix KAITOBUS_."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path
from typing import TypeVar

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """Where the bus is and where this process answers its probes. A service adds its own by inheriting."""

    model_config = SettingsConfigDict(env_prefix="KAITOBUS_", frozen=True, extra="ignore")

    nats_url: str = "nats://127.0.0.1:4222"
    nats_credentials: Path | None = None
    """A NATS credentials file (JWT and seed), for a server that asks for one."""
    nats_replicas: int = Field(default=1, ge=1, le=5)
    """Copies of each stream that the NATS cluster keeps."""

    http_host: str = "127.0.0.1"
    http_port: int = Field(default=8080, ge=0, le=65535)
    """Where /livez, /readyz and /metrics are served."""

    log_level: str = "INFO"
    workers: int = Field(default=16, ge=1, le=256)
    """How many messages one process works on at the same time."""
    resync_seconds: float = Field(default=600, gt=0)
    """How often everything is looked at again though no event asked for it."""

    instance: str = Field(default_factory=lambda: f"{socket.gethostname()}-{os.getpid()}")
    """This process's name in leases, logs and traces."""


S = TypeVar("S", bound=BaseSettings)


def from_environment(kind: type[S]) -> S:
    """Read settings. Ends the process with a sentence for each variable that is not as it must be."""
    try:
        return kind()
    except ValidationError as error:
        prefix = kind.model_config.get("env_prefix", "")
        sys.exit("\n".join(f"{prefix}{e['loc'][0]}".upper() + f": {e['msg']}" for e in error.errors()))

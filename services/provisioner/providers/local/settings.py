"""Where the local provider keeps its records, and what it gives to the node agents."""

from __future__ import annotations

import sys
from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class LocalSettings(BaseSettings):
    """From the environment, with the prefix KAITOBUS_LOCAL_; the kubeconfig from KUBECONFIG."""

    model_config = SettingsConfigDict(
        env_prefix="KAITOBUS_LOCAL_", frozen=True, extra="ignore", populate_by_name=True, protected_namespaces=()
    )

    state_dir: Path = Path(".kaitobus/nodes")
    kubeconfig: Path = Field(default=Path("~/.kube/config"), validation_alias="KUBECONFIG")
    images: Path | None = None
    """A YAML file that tells the agent what to run for an image: see the agent's --images."""
    model_dir: Path | None = None
    """Where the agent's containers find local models."""
    client_ca: Path | None = None
    """The authority whose clients, such as the API server, may read logs from the agent."""
    tls_cert: Path | None = None
    """The agent's serving certificate, and its key."""
    tls_key: Path | None = None
    agent: tuple[str, ...] = (sys.executable, "-m", "deploy.local.node")
    """The command that is the node agent, as a JSON list."""
    stop_seconds: float = Field(default=120, gt=0)
    """An agent that has not ended so long after it was told to is killed."""

"""Which node class the claims refer to, and which sizes its cloud has."""

from __future__ import annotations

from dataclasses import replace
from typing import Self

from pydantic import model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from services.provisioner.providers.karpenter.node_class import NodeClass, parse
from services.provisioner.skus import tables


class KarpenterSettings(BaseSettings):
    """From the environment, with the prefix KAITOBUS_KARPENTER_."""

    model_config = SettingsConfigDict(env_prefix="KAITOBUS_KARPENTER_", frozen=True, extra="ignore")

    node_class: str = "KaitoNodeClass"
    """KaitoNodeClass, AKSNodeClass, EC2NodeClass, or group/Kind/name for another one, or another name."""
    skus: str | None = None
    """The table of sizes to offer: azure, aws, arc. Needed where the node class is none of the known kinds."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        chosen = parse(self.node_class).skus if self.skus is None else self.skus
        if chosen not in tables():
            raise ValueError(f"KAITOBUS_KARPENTER_SKUS must be one of {', '.join(tables())} for {self.node_class}")
        return self

    def chosen(self) -> NodeClass:
        """The node class."""
        node_class = parse(self.node_class)
        return replace(node_class, skus=self.skus or node_class.skus)

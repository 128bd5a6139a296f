"""`karpenter`: one NodeClaim a machine, for any controller that speaks Karpenter's API (`karpenter.sh/v1`)."""

from services.provisioner.providers.karpenter.provider import KarpenterProvider, make

__all__ = ["KarpenterProvider", "make"]

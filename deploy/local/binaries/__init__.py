"""The programs of a Kubernetes control plane: found on this machine, downloaded, or built from source."""

from deploy.local.binaries.ensure import ensure_control_plane
from deploy.local.binaries.model import Binaries, BinariesError, Progress

__all__ = ["Binaries", "BinariesError", "Progress", "ensure_control_plane"]

"""What this package hands out, and how it says that it could not."""

from collections.abc import Callable
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict

Progress = Callable[[str], None]
"""Called with one line of text at each step; a caller prints it, or drops it."""

NAMES = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler")
"""File names of the four programs, as the official releases call them."""


class BinariesError(Exception):
    """The control plane's programs cannot be had. The message says why and what to do about it."""


class Binaries(BaseModel):
    """Paths of the four programs of a Kubernetes control plane."""

    model_config = ConfigDict(frozen=True)

    etcd: Path
    kube_apiserver: Path
    kube_controller_manager: Path
    kube_scheduler: Path

    @classmethod
    def in_folder(cls, folder: Path) -> Self:
        """Name the four programs in `folder`; whether they are there is not checked."""
        return cls.model_validate({name.replace("-", "_"): folder / name for name in NAMES})

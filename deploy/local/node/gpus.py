"""Which GPU of the machine belongs to which container, as a device plugin would say."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from deploy.local.node.pod_container import Container
from deploy.local.node.sources import ConfigError
from deploy.local.state import write_private

RESOURCE = "nvidia.com/gpu"
_Book = TypeAdapter(dict[str, tuple[int, ...]])


def wanted_gpus(container: Container) -> int:
    """How many GPUs a container asks for. Kubernetes wants its limit and its request to be the same."""
    return int(container.resources.limits.get(RESOURCE, container.resources.requests.get(RESOURCE, "0")))


def free_gpus(total: int, given: Mapping[str, tuple[int, ...]]) -> list[int]:
    """The numbers of the GPUs that nobody has."""
    taken = {gpu for gpus in given.values() for gpu in gpus}
    return [gpu for gpu in range(total) if gpu not in taken]


class GpuBook:
    """Who has which GPUs; kept in a file, since processes outlive the agent."""

    def __init__(self, path: Path, total: int) -> None:
        self._path = path
        self._total = total
        try:
            self._given = _Book.validate_json(path.read_bytes())
        except (FileNotFoundError, ValidationError):
            self._given = {}

    def env(self, uid: str, container: Container) -> dict[str, str]:
        """Variables that show a container of a pod its GPUs and no others. Raises ConfigError when there are too few.

        A node without GPUs says nothing: programs then find none by themselves.
        """
        if not self._total:
            return {}
        owner, wanted = f"{uid}/{container.name}", wanted_gpus(container)
        if wanted and owner not in self._given:
            free = free_gpus(self._total, self._given)
            if len(free) < wanted:
                raise ConfigError(f"{wanted} GPUs are asked for, and {len(free)} of {self._total} are free")
            self._given[owner] = tuple(free[:wanted])
            self._write()
        mine = self._given.get(owner, ())
        return {"CUDA_VISIBLE_DEVICES": ",".join(str(gpu) for gpu in mine)}

    def release(self, uid: str) -> None:
        """Take back the GPUs of a pod."""
        kept = {owner: gpus for owner, gpus in self._given.items() if not owner.startswith(f"{uid}/")}
        if kept != self._given:
            self._given = kept
            self._write()

    def _write(self) -> None:
        write_private(self._path, _Book.dump_json(self._given, indent=2))

"""What this machine has: memory, processors, GPUs; and the sizes it is offered in. Linux: it reads /proc."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Final

from services.contracts.base import Contract
from services.contracts.errors import FailureCode, ProviderError
from services.contracts.offers import Offer

GIB: Final = 2**30
SMALLEST: Final = 4
PREFIX: Final = "local-"
_NVIDIA_SMI: Final = (
    "nvidia-smi",
    "--query-gpu=name,memory.total,compute_cap",
    "--format=csv,noheader,nounits",
)


class Gpus(Contract):
    """The machine's GPUs, all of one kind; memory as the driver reports it, of one."""

    count: int = 0
    model: str | None = None
    memory_gib: float = 0
    compute_capability: float | None = None


class Machine(Contract):
    """Memory in GiB. `total` is the machine's, `available` what the kernel can give without swapping."""

    total: float
    available: float
    cpus: int
    gpus: Gpus = Gpus()

    @property
    def sizes(self) -> tuple[int, ...]:
        """The sizes in GiB: 4, 8, 16, ... as far as they fit into the machine at all; one in any case."""
        found = [SMALLEST]
        while found[-1] * 2 <= self.total:
            found.append(found[-1] * 2)
        return tuple(found)

    def free(self, handed_out: float) -> float:
        """What is left to hand out. What was handed out may be in use already, so it does not count twice."""
        return max(0.0, min(self.available, self.total - handed_out))

    def gpus_of(self, size: int) -> int:
        """The GPUs go with the largest size."""
        return self.gpus.count if size == self.sizes[-1] else 0

    def offers(self, handed_out: tuple[int, ...]) -> tuple[Offer, ...]:
        """All sizes, with how many more of each can be had."""
        return tuple(self._offer(size, handed_out) for size in self.sizes)

    def _offer(self, size: int, handed_out: tuple[int, ...]) -> Offer:
        gpus = self.gpus_of(size)
        left = int(self.free(sum(handed_out)) // size)
        if gpus:
            left = 0 if size in handed_out else min(1, left)
        return Offer(
            instance_type=f"{PREFIX}{size}gi",
            gpus=gpus,
            gpu_model=self.gpus.model if gpus else None,
            gpu_memory_gib=self.gpus.memory_gib if gpus else 0,
            cuda_compute_capability=self.gpus.compute_capability if gpus else None,
            cpu=self.cpus,
            memory_gib=size,
            price_per_hour=0,
            available=left,
        )

    def check(self, size: int, handed_out: tuple[int, ...]) -> None:
        """Raise `ProviderError` (InsufficientCapacity) if no machine of that size can be had now."""
        name, free = f"{PREFIX}{size}gi", self.free(sum(handed_out))
        text = None
        if self.gpus_of(size) and size in handed_out:
            text = f"this machine's GPUs are in use by another {name}"
        elif free < size:
            text = f"this machine has {free:.1f} GiB free, {name} needs {size} GiB"
        if text:
            raise ProviderError(FailureCode.INSUFFICIENT_CAPACITY, text, retry_after=10)


def size_of(instance_type: str) -> int:
    """The GiB in the name of a size. Raises `ProviderError` (InvalidRequest) if it is no name of ours."""
    digits = instance_type.lower().removeprefix(PREFIX).removesuffix("gi")
    if f"{PREFIX}{digits}gi" != instance_type.lower() or not digits.isdigit():
        raise ProviderError(FailureCode.INVALID_REQUEST, f"this machine has no size {instance_type!r}")
    return int(digits)


def look(gpus: Gpus) -> Machine:
    """Measure the machine."""
    lines = (line.split() for line in Path("/proc/meminfo").read_text("ascii").splitlines())
    memory = {name.rstrip(":"): int(kib) * 1024 / GIB for name, kib, *_ in lines}
    return Machine(
        total=memory["MemTotal"], available=memory["MemAvailable"], cpus=len(os.sched_getaffinity(0)), gpus=gpus
    )


def find_gpus() -> Gpus:
    """Ask nvidia-smi. Without it, or without an answer in 10 s, there are none. Blocks."""
    try:
        done = subprocess.run(_NVIDIA_SMI, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return Gpus()
    return parse_gpus(done.stdout)


def parse_gpus(text: str) -> Gpus:
    """Read nvidia-smi's lines: name, MiB, compute capability. The smallest stands for all."""
    rows = [[field.strip() for field in line.split(",")] for line in text.splitlines() if line.strip()]
    try:
        name, mib, capability = min(rows, key=lambda row: float(row[1]))
        return Gpus(
            count=len(rows), model=name, memory_gib=round(float(mib) / 1024, 1), compute_capability=float(capability)
        )
    except (ValueError, IndexError):
        return Gpus()

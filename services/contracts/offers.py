"""Offers: what a provider can bring. Kept in the key-value bucket OFFERS under the provider's name."""

from __future__ import annotations

from datetime import date, datetime
from typing import Literal

from pydantic import Field

from services.contracts.base import Contract


class Offer(Contract):
    """One machine size. Memory is in GiB; `gpu_memory_gib` is that of one GPU; prices are US dollars an hour.

    `interconnect` is how the GPUs of one machine are joined. `available` is the number of further nodes that can be
    had now; None where the provider does not know. `price_per_hour` is that on demand, `price_note` says where the
    prices come from and as of when. `shared` says that one node may serve several workspaces, each with the GPUs it
    needs; `free_gpus` is then the most that are free on one node. `ready_seconds` is how long a node takes from the
    request until it is ready. `taints` are those that the cloud may put on
    such nodes by itself, as on spot machines: pods must tolerate them.
    """

    instance_type: str
    gpus: int = 0
    gpu_model: str | None = None
    gpu_memory_gib: float = 0
    cuda_compute_capability: float | None = None
    interconnect: Literal["nvlink", "pcie"] | None = None
    cpu: int | None = None
    memory_gib: float | None = None
    price_per_hour: float | None = None
    spot_price_per_hour: float | None = None
    price_note: str | None = None
    available: int | None = None
    taints: tuple[str, ...] = ()
    shared: bool = False
    free_gpus: int | None = None
    ready_seconds: float | None = None
    runnable: bool = True
    not_runnable_because: str | None = None
    retired: date | None = None
    replacement: str | None = None


class Offers(Contract):
    """All that one provider offers. `simulated` offers are never chosen where a real one fits."""

    provider: str
    simulated: bool = False
    offers: tuple[Offer, ...] = Field(default=())
    published_at: datetime

    def find(self, instance_type: str) -> Offer | None:
        """The offer of that size; names are compared without regard to case, as Azure does."""
        wanted = instance_type.lower()
        return next((offer for offer in self.offers if offer.instance_type.lower() == wanted), None)

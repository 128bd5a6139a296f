"""Fine-tuning as it crosses processes: what is planned, and how far it has come."""

from __future__ import annotations

from pydantic import Field

from services.contracts.base import Contract
from services.contracts.workspace import DataDestination, DataSource, Schemaless


class TuningMemory(Contract):
    """What a run is expected to take of each GPU, or of the machine without one. GiB."""

    weights_gib: float
    adapter_gib: float
    """The adapter with its gradients and what the optimizer keeps of it."""
    activation_gib: float
    overhead_gib: float
    total_gib: float
    """All that is there."""


class PlannedTuning(Contract):
    """How a model is tuned. `config` are the sections of the training configuration that were set, by name."""

    method: str
    config: Schemaless = Field(default_factory=dict)
    input: DataSource
    output: DataDestination
    memory: TuningMemory


class TuningProgress(Contract):
    """How far a run has come, as its pod tells it; `adapter_digest` is that of the result in its registry."""

    phase: str | None = Field(default=None, description="What is being done.")
    step: int | None = Field(default=None, ge=0)
    steps: int | None = Field(default=None, ge=0)
    resumed_from: int | None = Field(default=None, ge=0, description="The step from which it went on after a break.")
    loss: float | None = None
    eval_loss: float | None = Field(default=None, description="Loss on the data that was held out.")
    tokens_per_second: float | None = None
    seconds_left: int | None = Field(default=None, ge=0)
    adapter_digest: str | None = Field(
        default=None, alias="digest", description="Digest of the adapter in its registry."
    )
    reference: str | None = Field(default=None, description="The adapter in its registry, by digest.")
    folder: str | None = Field(default=None, description="Folder of the adapter in its volume.")

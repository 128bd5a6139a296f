"""Measured figures of a workspace, as KAITO writes them into `status.performance`."""

from __future__ import annotations

from pydantic import Field

from services.contracts.base import Contract


class Metric(Contract):
    """One measured figure in `status.performance`."""

    description: str | None = None
    value: str | None = None
    unit: str | None = None
    config: dict[str, str] | None = None


class Performance(Contract):
    """Measured figures by name."""

    metrics: dict[str, Metric] = Field(default_factory=dict)

"""The base of the scheduler's values."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Facts(BaseModel):
    """A frozen row. A key that no field has is a spelling mistake in the data, and refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")

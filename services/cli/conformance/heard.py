"""A report as it came: body, headers, and when the server took it in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

from pydantic import ValidationError

from services.contracts.messages import Report


@dataclass(frozen=True)
class Heard:
    """What a provisioner has published on the subject of its reports."""

    subject: str
    body: bytes
    headers: Mapping[str, str]
    at: datetime

    @cached_property
    def report(self) -> Report | None:
        """The report; None if the body is none."""
        try:
            return Report.model_validate_json(self.body)
        except ValidationError:
            return None

    @property
    def unreadable(self) -> str:
        """What is wrong with the body, in one line; empty if it can be read."""
        try:
            Report.model_validate_json(self.body)
        except ValidationError as error:
            return "; ".join(f"{'.'.join(map(str, e['loc'])) or 'body'}: {e['msg']}" for e in error.errors())
        return ""

"""The base of every model that crosses a process."""

from __future__ import annotations

import hashlib

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel


class Contract(BaseModel):
    """A frozen value with camelCase JSON, as Kubernetes writes it.

    Unknown fields are ignored, so that a newer sender may add some without breaking an older reader.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", alias_generator=to_camel, populate_by_name=True)

    def to_json(self) -> bytes:
        """The JSON body: camelCase names, without fields that are None. The same value gives the same bytes."""
        return self.model_dump_json(by_alias=True, exclude_none=True).encode()

    def to_dict(self) -> dict[str, object]:
        """As `to_json`, as plain dicts, lists, strings and numbers."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)

    def digest(self) -> str:
        """The first 32 hex digits of the SHA-256 of `to_json`: equal for equal content."""
        return hashlib.sha256(self.to_json()).hexdigest()[:32]

"""An adapter's `adapter_config.json` as PEFT writes it: its rank, its base model, and the same adapter weaker. Pure.

What an adapter adds to a weight is `B A` times its scaling: `lora_alpha / r`, or `lora_alpha / sqrt(r)` with rsLoRA
(Kalajdzievski 2023, arXiv:2312.03732). `rank_pattern` and `alpha_pattern` name modules with values of their own. In
each case the sum is linear in alpha, so a strength is a factor of all alphas.
"""

from __future__ import annotations

import json
import re
from typing import Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from services.inference.adapters.wanted import AdapterError

LONGEST: Final = 2**20
"""Bytes of the longest config that is read."""
_HUB_ID: Final = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


class LoraConfig(BaseModel):
    """The fields that are read here; all others are kept as they are."""

    model_config = ConfigDict(frozen=True, extra="allow", strict=True)

    peft_type: str = "LORA"
    base_model_name_or_path: str | None = None
    r: int = Field(gt=0, le=65_536)
    lora_alpha: float = Field(allow_inf_nan=False)
    use_rslora: bool | None = False
    rank_pattern: dict[str, int] | None = None
    alpha_pattern: dict[str, float] | None = None

    @property
    def rank(self) -> int:
        """The largest rank of all modules."""
        return max([self.r, *(self.rank_pattern or {}).values()])


def read_config(text: bytes) -> LoraConfig:
    """Read it. Raises AdapterError with what is wrong."""
    if len(text) > LONGEST:
        raise AdapterError(f"adapter_config.json has {len(text)} bytes, which no adapter needs.")
    try:
        content: object = json.loads(text)
    except (ValueError, RecursionError):
        raise AdapterError(f"adapter_config.json {'is a web page' if is_page(text) else 'is not JSON'}.") from None
    try:
        config = LoraConfig.model_validate(content)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        field = ".".join(str(part) for part in first["loc"]) or "adapter_config.json"
        raise AdapterError(f"adapter_config.json cannot be used: {field}: {first['msg']}.") from None
    if config.peft_type.upper() != "LORA":
        raise AdapterError(f"It is an adapter of the kind {config.peft_type[:40]}; only LoRA is served.")
    return config


def is_page(text: bytes) -> bool:
    """Whether it is HTML: what servers send that show a file, or ask for a login, instead of giving it."""
    return text.lstrip()[:15].lower().startswith((b"<!doctype html", b"<html"))


def weakened(config: LoraConfig, strength: float) -> bytes:
    """The config of the same adapter with all its alphas times the strength."""
    content = config.model_dump(mode="json")
    content["lora_alpha"] = config.lora_alpha * strength
    if config.alpha_pattern:
        content["alpha_pattern"] = {name: alpha * strength for name, alpha in config.alpha_pattern.items()}
    return json.dumps(content, sort_keys=True).encode()


def check_base(config: LoraConfig, base: str) -> None:
    """Raises AdapterError if the adapter says that it was made for another model.

    A path on the machine where it was trained says nothing; nor does a missing name.
    """
    named = (config.base_model_name_or_path or "").strip()
    if not base or not named or _same(named, base) or not _is_id(named):
        return
    raise AdapterError(
        f"It was made for {named[:200]}, and {base} is served here. Serve that model, or name an adapter that was "
        f"trained on {base}. If both are the same model, correct base_model_name_or_path in its adapter_config.json."
    )


def _same(named: str, base: str) -> bool:
    low, wanted = named.lower(), base.lower()
    return low == wanted or ("/" not in low and low == wanted.rpartition("/")[2])


def _is_id(named: str) -> bool:
    """Whether it is the id of a model on a hub. One word may as well be a folder."""
    return _HUB_ID.fullmatch(named) is not None

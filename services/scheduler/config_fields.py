"""Reads single fields of a `config.json` that anybody may have written: by any of their names, within reason. Pure."""

from __future__ import annotations

from collections.abc import Mapping

LARGEST = 1 << 31
"""No width, count or length of a model is larger; what is comes of a slip or of ill will."""


class BadField(Exception):
    """The `config.json` cannot be used; the message is a sentence about one field."""


class Fields:
    """A map of fields. Names are tried in order; a field that is null counts as missing."""

    def __init__(self, values: Mapping[str, object], fallback: Mapping[str, object] | None = None) -> None:
        """Look up fields in `values`, then in `fallback`: the defaults of the model's type."""
        self._values = values
        self._fallback = fallback or {}

    def raw(self, *names: str) -> object:
        """The first that is there, whatever it is."""
        for source in (self._values, self._fallback):
            for name in names:
                if (value := source.get(name)) is not None:
                    return value
        return None

    def whole(self, *names: str, least: int = 1, most: int = LARGEST) -> int | None:
        """A whole number. Raises BadField for anything else, and beyond the limits."""
        value = self.raw(*names)
        return None if value is None else checked(names[0], value, least, most)

    def needed(self, *names: str, least: int = 1, most: int = LARGEST) -> int:
        """A whole number that must be there."""
        found = self.whole(*names, least=least, most=most)
        if found is None:
            others = f" (nor {', '.join(names[1:])})" if len(names) > 1 else ""
            raise BadField(f"config.json has no {names[0]}{others}; without it the model cannot be sized.")
        return found

    def count(self, *names: str, default: int = 0, most: int = LARGEST) -> int:
        """A whole number from 0 on, or the default."""
        found = self.whole(*names, least=0, most=most)
        return default if found is None else found

    def largest(self, *names: str) -> int | None:
        """A whole number, or the largest of a list of them: some models differ from layer to layer."""
        value = self.raw(*names)
        if isinstance(value, list) and value:
            return max(checked(names[0], item, 0, LARGEST) for item in value[:4096])
        return self.whole(*names, least=0)

    def share(self, *names: str) -> float | None:
        """A number above 0."""
        value = self.raw(*names)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < LARGEST:
            raise BadField(f"config.json has {names[0]} = {shown(value)}, which is no number above 0.")
        return float(value)

    def flag(self, *names: str, default: bool = False) -> bool:
        """True or false; anything else counts as missing."""
        value = self.raw(*names)
        return value if isinstance(value, bool) else default

    def text(self, *names: str) -> str:
        """A text, or an empty one."""
        value = self.raw(*names)
        return value if isinstance(value, str) else ""

    def sub(self, *names: str) -> Fields | None:
        """A map within."""
        value = self.raw(*names)
        return Fields(strings(value)) if isinstance(value, dict) else None

    def items(self, *names: str) -> list[object] | None:
        """A list within."""
        value = self.raw(*names)
        return list(value) if isinstance(value, list) else None


def checked(name: str, value: object, least: int, most: int) -> int:
    """The value if it is a whole number within the limits. Raises BadField."""
    if isinstance(value, float) and value.is_integer() and abs(value) < LARGEST:
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise BadField(f"config.json has {name} = {shown(value)}, which is no whole number.")
    if not least <= value <= most:
        raise BadField(f"config.json has {name} = {shown(value)}; it must be from {least} to {most}.")
    return value


def shown(value: object) -> str:
    """A value as a message can hold it: short, and printable."""
    if isinstance(value, int) and abs(value) > 10**30:
        return "a number of more than 30 digits"
    text = repr(value)
    return ascii(text if len(text) <= 60 else f"{text[:57]}...")[1:-1]


def strings(value: Mapping[object, object]) -> dict[str, object]:
    """The entries whose keys are text."""
    return {key: item for key, item in value.items() if isinstance(key, str)}

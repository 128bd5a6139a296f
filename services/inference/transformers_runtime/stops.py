"""Ends a text at the first of some stop texts, though it comes in pieces. Pure."""

from collections.abc import Sequence


class Stops:
    """Gives out what can no longer be the beginning of a stop text. After a stop nothing more is given out."""

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = [stop for stop in stops if stop]
        self._held = ""
        self.hit = False

    def feed(self, text: str) -> str:
        """Take a piece, and return what may be shown by now."""
        if self.hit:
            return ""
        self._held += text
        found = [at for stop in self._stops if (at := self._held.find(stop)) >= 0]
        if found:
            self.hit = True
            return self._give(min(found))
        return self._give(len(self._held) - self._doubtful())

    def rest(self) -> str:
        """Return what was held back, once no more text comes."""
        return "" if self.hit else self._give(len(self._held))

    def _give(self, length: int) -> str:
        given, self._held = self._held[:length], self._held[length:]
        return given

    def _doubtful(self) -> int:
        """Characters at the end that may become a stop text."""
        longest = max((len(stop) for stop in self._stops), default=1) - 1
        for length in range(min(longest, len(self._held)), 0, -1):
            if any(stop.startswith(self._held[-length:]) for stop in self._stops):
                return length
        return 0

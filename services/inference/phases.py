"""Keeps the time of the phases of a start, so that logs and one trace can tell where it went."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass(frozen=True)
class Phase:
    """One finished step of the start; times in nanoseconds since 1970, as OpenTelemetry wants them."""

    name: str
    start_ns: int
    end_ns: int

    @property
    def seconds(self) -> float:
        """How long it took, in seconds with milliseconds."""
        return round((self.end_ns - self.start_ns) / 1e9, 3)


class Phases:
    """The phases so far, in the order they ended."""

    def __init__(self, clock: Callable[[], int] = time.time_ns) -> None:
        self._clock = clock
        self.start_ns = clock()
        self.done: list[Phase] = []
        self.inner: list[Phase] = []
        """Steps inside of those, as the engine's processes told them."""
        self.current = "import"

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Time what happens inside; a step that fails is kept too."""
        start_ns, self.current = self._clock(), name
        try:
            yield
        finally:
            self.done.append(Phase(name, start_ns, self._clock()))

    @property
    def elapsed_s(self) -> float:
        """How long the start has taken so far, in seconds."""
        return (self._clock() - self.start_ns) / 1e9

    def times(self) -> dict[str, float]:
        """Return the seconds of each phase and step."""
        return {phase.name: phase.seconds for phase in (*self.done, *self.inner)}

    def whole(self) -> Phase:
        """Return the start as one phase, up to the end of the last step."""
        return Phase("engine start", self.start_ns, self.done[-1].end_ns if self.done else self._clock())

"""How often and how long a broken connection is tried again."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple, TypeVar

from services.inference.oci.errors import Passing

_Result = TypeVar("_Result")


class Patience(NamedTuple):
    """`tries` failures in a row are borne, with pauses of `first` seconds, doubling up to `longest`.

    A pause that the registry asks for counts, up to `longest_asked`. `pause` waits; it may return early.
    """

    tries: int = 7
    first: float = 0.5
    longest: float = 15.0
    longest_asked: float = 60.0
    pause: Callable[[float], object] = time.sleep

    def bear(self, failures: int, error: Passing) -> None:
        """Wait after so many failures in a row. Raises the error itself once they are too many."""
        if failures >= self.tries:
            raise error
        own = min(self.first * 2.0 ** (failures - 1), self.longest)
        self.pause(max(own, min(error.after or 0.0, self.longest_asked)))


def patiently(patience: Patience, call: Callable[[], _Result]) -> _Result:
    """The result of `call`, tried again while it fails with Passing. Raises what it raises last."""
    failures = 0
    while True:
        try:
            return call()
        except Passing as error:
            failures += 1
            patience.bear(failures, error)

"""Lets what is in a hurry go first: what may wait does so until a burst is over, but not for long."""

from __future__ import annotations

import asyncio


class Lull:
    """The moment in which for `quiet` seconds nothing in a hurry has happened.

    In a burst the API server is what everybody waits for. What people see, or need later, must not take it from
    what moves the next workspace on.
    """

    def __init__(self, *, quiet: float, at_most: float) -> None:
        self._quiet = quiet
        self._at_most = at_most
        self._last = float("-inf")

    def hurry(self) -> None:
        """Something in a hurry has just happened; more may follow."""
        self._last = asyncio.get_running_loop().time()

    async def wait(self) -> None:
        """Wait until it is quiet, or for `at_most` seconds."""
        since = asyncio.get_running_loop().time()
        while left := self.left(since):
            await asyncio.sleep(left)

    def left(self, since: float) -> float:
        """Seconds that are still to be waited by who waits since that time of the loop; 0 if none."""
        until = min(self._last + self._quiet, since + self._at_most)
        return max(0.0, until - asyncio.get_running_loop().time())

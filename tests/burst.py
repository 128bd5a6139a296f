"""A burst of Workspaces that lasts for as long as a test wants."""

from __future__ import annotations

import asyncio

from services.chassis.lull import Lull


class Burst(Lull):
    """Who waits for the lull after it waits until `over` is set."""

    def __init__(self) -> None:
        super().__init__(quiet=0, at_most=0)
        self.over = asyncio.Event()

    async def wait(self) -> None:
        await self.over.wait()

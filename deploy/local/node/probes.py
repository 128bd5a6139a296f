"""Probes of a running container: when to ask, what an answer means, and what follows."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Literal, NamedTuple, Protocol

from deploy.local.node.actions import ActionFailed
from deploy.local.node.pod_container import Container, Handler, Probe

Kind = Literal["Startup", "Readiness", "Liveness"]


class Streak(NamedTuple):
    """Answers of one kind in a row."""

    good: int = 0
    bad: int = 0

    def after(self, *, ok: bool) -> Streak:
        """The streak with one more answer."""
        return Streak(self.good + 1, 0) if ok else Streak(0, self.bad + 1)

    def verdict(self, probe: Probe) -> bool | None:
        """Healthy or not, once there are enough answers in a row; None while there are not."""
        if self.good >= probe.success_threshold:
            return True
        return False if self.bad >= probe.failure_threshold else None


class Patient(Protocol):
    """The container that is asked."""

    async def act(self, handler: Handler, timeout_s: float) -> None:
        """Do what a probe says. Raises ActionFailed."""

    def set_started(self) -> None:
        """It has started."""

    def set_ready(self, ready: bool) -> None:
        """It may be sent requests, or not."""

    async def restart(self) -> None:
        """End it; the restart policy says what is next."""


Complain = Callable[[Kind, str], None]
"""Told of a failed probe, once for each time that it begins to fail."""


class Health:
    """Runs a container's probes for as long as `watch` is not cancelled."""

    def __init__(self, container: Container, patient: Patient, complain: Complain) -> None:
        self._container = container
        self._patient = patient
        self._complain = complain

    async def watch(self, *, started: bool) -> None:
        """Probe until cancelled, or until the container had to be ended. `started`: it has started before."""
        startup = self._container.startup_probe
        if startup and not started and not await self._settles("Startup", startup):
            await self._patient.restart()
            return
        self._patient.set_started()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._readiness(self._container.readiness_probe))
            group.create_task(self._liveness(self._container.liveness_probe))

    async def _readiness(self, probe: Probe | None) -> None:
        if probe is None:
            self._patient.set_ready(True)
            return
        await asyncio.sleep(probe.initial_delay_seconds)
        streak = Streak()
        while True:
            streak = await self._ask("Readiness", probe, streak)
            verdict = streak.verdict(probe)
            if verdict is not None:
                self._patient.set_ready(verdict)
            await asyncio.sleep(probe.period_seconds)

    async def _liveness(self, probe: Probe | None) -> None:
        if probe and not await self._settles("Liveness", probe, for_ever=True):
            await self._patient.restart()

    async def _settles(self, kind: Kind, probe: Probe, *, for_ever: bool = False) -> bool:
        """Ask until the verdict is bad (False), or good (True) unless `for_ever`."""
        await asyncio.sleep(probe.initial_delay_seconds)
        streak = Streak()
        while True:
            streak = await self._ask(kind, probe, streak)
            verdict = streak.verdict(probe)
            if verdict is False or (verdict and not for_ever):
                return verdict
            await asyncio.sleep(probe.period_seconds)

    async def _ask(self, kind: Kind, probe: Probe, streak: Streak) -> Streak:
        try:
            await self._patient.act(probe, probe.timeout_seconds)
        except ActionFailed as failure:
            if streak.bad == 0:
                self._complain(kind, str(failure))
            return streak.after(ok=False)
        return streak.after(ok=True)

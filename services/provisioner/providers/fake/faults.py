"""Shows the faults that demands have asked for, and remembers in the ledger to whom."""

from __future__ import annotations

import asyncio
import logging
import os
from datetime import UTC, datetime, timedelta
from typing import Final

from services.chassis.kube import NODES, Conflict, JsonObject, KubeClient, KubeError, ObjectRef
from services.contracts.errors import FailureCode, ProviderError
from services.provisioner.nodes import Nodes
from services.provisioner.provider import InstanceSpec
from services.provisioner.providers.fake.ledger import Ledger
from services.provisioner.providers.fake.node import FAILS, VANISHES, Courses
from services.provisioner.providers.fake.script import Script
from services.provisioner.providers.fake.settings import FakeSettings

log = logging.getLogger(__name__)

TICK: Final = 1.0
CRASHED: Final = 70
"""The exit code of a process that a script has ended: EX_SOFTWARE of sysexits(3)."""


class Faults:
    """Raises `KubeError` where the ledger cannot be read or written."""

    def __init__(self, kube: KubeClient, nodes: Nodes, settings: FakeSettings) -> None:
        self._kube = kube
        self._nodes = nodes
        self._settings = settings
        self._ledger = Ledger(kube)
        self._courses = Courses()

    async def refuse(self, spec: InstanceSpec, script: Script) -> None:
        """Raise the `ProviderError` that the script has for this machine now."""
        if script.fail is None:
            return
        what = f"{spec.name}.fail"
        done = await self._ledger.count(spec.owner.uid, what)
        if refusal := script.refusal(done):
            if script.fail_times != float("inf"):
                await self._ledger.note(spec.owner.uid, what, done + 1)
            raise refusal

    async def fate(self, spec: InstanceSpec, script: Script, booted_at: datetime) -> dict[str, str]:
        """The annotations with the times at which something happens to a new machine."""
        found = {}
        if script.vanish_after_seconds is not None and await self._once_more(spec, "vanish", script.vanish_times):
            found[VANISHES] = (booted_at + timedelta(seconds=script.vanish_after_seconds)).isoformat()
        if script.not_ready_after_seconds is not None and await self._once_more(
            spec, "not-ready", script.not_ready_times
        ):
            found[FAILS] = (booted_at + timedelta(seconds=script.not_ready_after_seconds)).isoformat()
        return found

    async def _once_more(self, spec: InstanceSpec, what: str, limit: float) -> bool:
        return await self._ledger.once_more(spec.owner.uid, f"{spec.name}.{what}", limit)

    async def be_late(self, spec: InstanceSpec, script: Script, node: JsonObject) -> None:
        """Have the machine come later, and do not answer. One that has come is left alone."""
        if script.late_seconds is None or self._nodes.known(spec.name):
            return
        if not await self._ledger.is_late(spec.name):
            if not await self._once_more(spec, "late", 1):
                return
            await self._ledger.promise(spec.name, node, datetime.now(UTC) + timedelta(seconds=script.late_seconds))
        raise ProviderError(FailureCode.TIMEOUT, "the fake cloud was told not to answer in time")

    async def crash(self, spec: InstanceSpec, script: Script) -> None:
        """End the process as kill -9 does, once for each demand, if both settings and script say so."""
        wanted = script.crash_once and self._settings.allow_crash
        if wanted and await self._ledger.once_more(spec.owner.uid, "crash", 1):
            log.warning("told to crash", extra={"machine": spec.name})
            os._exit(CRASHED)

    async def run(self) -> None:
        """Let machines come late and be taken away, until cancelled."""
        while True:
            try:
                await self._ledger.sweep()
                while True:
                    await self._take_away()
                    await self._appear()
                    await asyncio.sleep(TICK)
            except KubeError as error:
                log.debug("the fake cloud's faults must wait: %s", error)
                await asyncio.sleep(TICK)

    async def _take_away(self) -> None:
        """The machine with its node, as when a spot machine is reclaimed; pods are left to Kubernetes."""
        now = datetime.now(UTC)
        gone = [c.node for c in self._courses.of(self._nodes.named()).values() if c.vanished(now)]
        for node in gone:
            await self._kube.delete(ObjectRef.of(NODES, node))
            self._nodes.notice(node, gone=True)

    async def _appear(self) -> None:
        for name, node in await self._ledger.due(datetime.now(UTC)):
            try:
                self._nodes.notice(await self._kube.create(NODES, node))
            except Conflict:
                log.debug("%s is there already", name)
            await self._ledger.kept(name)

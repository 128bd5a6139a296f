"""The local cloud: keeps as many node agents alive as there are records of machines."""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime
from typing import Final

from services.chassis.settings import from_environment
from services.contracts.errors import ProviderError
from services.contracts.offers import Offer
from services.provisioner.provider import Instance, InstanceSpec, Key
from services.provisioner.providers.local.agent import Agents
from services.provisioner.providers.local.keep import Keeper
from services.provisioner.providers.local.machine import Gpus, find_gpus, look, size_of
from services.provisioner.providers.local.records import Record, Records
from services.provisioner.providers.local.settings import LocalSettings
from services.provisioner.registry import Context

log = logging.getLogger(__name__)

KEEP_EVERY: Final = 1.0
"""Seconds between two looks at the agents."""


class LocalProvider:
    """The machine that the process runs on, in parts. Looks at files and processes in threads: the loop goes on."""

    name = "local"
    simulated = False
    owns_nodes = True

    def __init__(self, settings: LocalSettings, gpus: Gpus) -> None:
        self._gpus = gpus
        self._records = Records(settings.state_dir)
        self._keeper = Keeper(self._records, Agents(settings), settings.stop_seconds)
        self._problem: str | None = None

    async def offers(self) -> tuple[Offer, ...]:
        """Sizes of 4, 8, 16 ... GiB, with how many of each are free now."""
        records = await asyncio.to_thread(self._records.all)
        return look(self._gpus).offers(_handed_out(records))

    async def list(self, workspace: Key | None = None) -> tuple[Instance, ...]:
        """The machines, from their records."""
        records = await asyncio.to_thread(self._records.all)
        return tuple(r.instance() for r in records if workspace in (None, r.spec.owner.key))

    async def create(self, spec: InstanceSpec) -> Instance:
        """Record the machine, then start its agent; the other way round an agent could be left without a record."""
        return await asyncio.to_thread(self._create, spec)

    def _create(self, spec: InstanceSpec) -> Instance:
        with self._records.locked():
            record = self._records.read(spec.name) or self._new(spec)
            return self._keeper.keep(record, datetime.now(UTC)).instance()

    def _new(self, spec: InstanceSpec) -> Record:
        machine, size = look(self._gpus), size_of(spec.instance_type)
        machine.check(size, _handed_out(self._records.all()))
        return self._records.write(Record(spec=spec, gpus=machine.gpus_of(size), created_at=datetime.now(UTC)))

    async def delete(self, instance: Instance) -> None:
        """Tell the agent to end; `list` shows the machine until it has."""
        await asyncio.to_thread(self._delete, instance.name)

    def _delete(self, name: str) -> None:
        with self._records.locked():
            if record := self._records.read(name):
                record = self._records.write(record.with_(deleting=True))
                self._keeper.keep(record, datetime.now(UTC))

    async def run(self) -> None:
        """Start agents that have died, and forget machines whose agents have ended, until cancelled."""
        while True:
            try:
                await asyncio.to_thread(self._keep_all)
                self._problem = None
            except OSError as error:
                self._problem = f"the records of the machines cannot be kept: {error}"
                log.warning(self._problem)
            await asyncio.sleep(KEEP_EVERY)

    def _keep_all(self) -> None:
        with self._records.locked():
            for record in self._records.all():
                try:
                    self._keeper.keep(record, datetime.now(UTC))
                except ProviderError as error:
                    log.warning(
                        "a node agent is not there", extra={"machine": record.spec.name, "reason": error.message}
                    )

    async def problem(self) -> str | None:
        """Whether the records can be read and written."""
        return self._problem


def _handed_out(records: list[Record]) -> tuple[int, ...]:
    """The sizes of the machines there are, in GiB."""
    return tuple(size_of(record.spec.instance_type) for record in records)


async def make(_context: Context) -> LocalProvider:
    """For the registry."""
    return LocalProvider(from_environment(LocalSettings), await asyncio.to_thread(find_gpus))

"""Brings one machine closer to what its record says: an agent that runs, or none."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta
from typing import Final

from services.contracts.errors import Failure, FailureCode, ProviderError
from services.provisioner.providers.local.agent import Agents, is_alive, last_words, tell_to_end
from services.provisioner.providers.local.records import Record, Records

log = logging.getLogger(__name__)

STEADY: Final = timedelta(seconds=20)
"""An agent that has run for so long has not crashed at its start."""
CRASHES: Final = 4
"""After so many deaths in a row the machine has failed."""
YOUNG: Final = timedelta(seconds=2)
"""Before so long an agent may not yet listen to SIGTERM, and would die without ending its pods."""


class Keeper:
    """Called under the lock of the records, again and again; each call takes one step at most. Blocks for moments."""

    def __init__(self, records: Records, agents: Agents, stop_seconds: float) -> None:
        self._records = records
        self._agents = agents
        self._stop = timedelta(seconds=stop_seconds)

    def keep(self, record: Record, now: datetime) -> Record:
        """One step; returns the record as it is now. Raises `ProviderError` when an agent cannot be started."""
        alive = is_alive(record.agent)
        if record.deleting:
            return self._end(record, now, alive=alive)
        if alive:
            return self._settled(record, now)
        return self._start(self._buried(record, now), now)

    def _settled(self, record: Record, now: datetime) -> Record:
        """Forget earlier crashes once the agent has held out."""
        if record.crashes and record.started_at and now - record.started_at > STEADY:
            return self._records.write(record.with_(crashes=0))
        return record

    def _buried(self, record: Record, now: datetime) -> Record:
        """Take note of an agent's death: each in a row doubles the wait, too many are a failure."""
        if record.agent is None:
            return record
        crashes = record.crashes + 1
        words = last_words(self._records.node_dir(record.spec.name))
        log.warning("a node agent has died", extra={"machine": record.spec.name, "reason": words})
        failure = None
        if crashes >= CRASHES:
            text = f"the node agent of {record.spec.name} has died {crashes} times in a row: {words}"
            failure = Failure(code=FailureCode.INTERNAL, message=text, instance_type=record.spec.instance_type)
        pause = timedelta(seconds=2.0 ** (crashes - 1)) if crashes > 1 else timedelta(0)
        return self._records.write(record.with_(agent=None, crashes=crashes, start_at=now + pause, failure=failure))

    def _start(self, record: Record, now: datetime) -> Record:
        if record.failure or (record.start_at and now < record.start_at):
            return record
        spec, folder = record.spec, self._records.node_dir(record.spec.name)
        try:
            agent = self._agents.start(spec, record.gpus, folder)
        except ProviderError as error:
            failure = Failure(code=error.code, message=error.message, instance_type=spec.instance_type)
            return self._records.write(record.with_(failure=failure))
        log.info("node agent started", extra={"machine": spec.name, "pid": agent.pid})
        launched = record.launched_at or now
        return self._records.write(record.with_(agent=agent, started_at=now, launched_at=launched))

    def _end(self, record: Record, now: datetime, *, alive: bool) -> Record:
        """SIGTERM, then SIGKILL when that took too long, then nothing is left.

        An agent that had died is started once more: only an agent knows the processes of its pods.
        """
        if alive and record.agent:
            return self._tell(record, now)
        if record.told_to_end_at or record.launched_at is None or record.failure:
            self._records.remove(record)
            log.info("machine gone", extra={"machine": record.spec.name})
            return record
        return self._start(self._buried(record, now), now)

    def _tell(self, record: Record, now: datetime) -> Record:
        if record.agent is None or (record.started_at and now - record.started_at < YOUNG):
            return self._records.write(record)
        if record.told_to_end_at is None:
            tell_to_end(record.agent)
            return self._records.write(record.with_(told_to_end_at=now))
        if now - record.told_to_end_at > self._stop:
            log.warning("a node agent does not end and is killed", extra={"machine": record.spec.name})
            tell_to_end(record.agent, kill=True)
        return record

"""Keeps the adapters of a running server as the list says. Nothing that goes wrong here reaches a request."""

from __future__ import annotations

import asyncio
import logging
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from services.inference.adapters.job import Base, Job, Prepared
from services.inference.adapters.reconcile import Have, State, again_after, reconcile
from services.inference.adapters.wanted import Adapter, AdapterError, AdapterList, Mounts, read_list
from services.inference.logs import LOGGER

log = logging.getLogger(LOGGER)

POLL_S: Final = 2.0
AT_ONCE: Final = 2
"""Adapters that are fetched side by side."""
KEEP_S: Final = 3600.0
"""Seconds for which the files of an adapter stay that is not served any more: a request may still run with it."""


class Engine(Protocol):
    """What loads adapters while it serves."""

    async def load(self, name: str, folder: str) -> None:
        """Serve what is in the folder under that name, in place of what had the name. Raises AdapterError."""

    async def unload(self, name: str) -> None:
        """Serve that name no more."""


class Preparer(Protocol):
    """What makes an adapter ready to load."""

    async def __call__(self, job: Job) -> Prepared:
        """Do the job; ends what it started when it is cancelled. Raises AdapterError."""


@dataclass
class Held:
    """One adapter: as it was asked for, how far that is, and what is served under its name meanwhile."""

    wanted: Adapter
    state: State = State.LOADING
    reason: str = ""
    served: Prepared | None = None
    in_engine: str | None = None
    strength: float | None = None
    failures: int = 0
    again_at: float = 0.0
    task: asyncio.Task[None] | None = None


class Keeper:
    """Reads the list again and again, and brings the engine to it."""

    def __init__(
        self, file: Path, home: Path, mounts: Mounts, base: Base, engine: Engine, prepare: Preparer,
        clock: Callable[[], float],
    ) -> None:  # fmt: skip
        self._file, self._home = file, home
        self._mounts, self._base = mounts, base
        self._engine, self._prepare, self._clock = engine, prepare, clock
        self._held: dict[str, Held] = {}
        self._retired: dict[str, float] = {}
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._loading = asyncio.Lock()
        self.revision = ""
        self.settled = asyncio.Event()
        """Set whenever nothing is under way: all adapters of the list are served, or have failed."""

    async def run(self) -> None:
        """Work until cancelled."""
        await asyncio.to_thread(shutil.rmtree, self._home / "ready", ignore_errors=True)
        try:
            while True:
                try:
                    await self.look()
                except Exception:
                    log.exception("the adapters could not be looked at; it is tried again")
                await asyncio.sleep(POLL_S)
        finally:
            await self._end([held.task for held in self._held.values() if held.task])

    async def look(self) -> None:
        """Read the list once, and start what it asks for."""
        content = await self._read()
        if content is not None:
            await self._follow(content)
        if not any(held.task for held in self._held.values()):
            self.settled.set()
        await self._tidy()

    def states(self) -> list[dict[str, object]]:
        """How each adapter is, by name."""
        return [_told(held) for _, held in sorted(self._held.items())]

    async def _read(self) -> AdapterList | None:
        """The list; None where there is none or it cannot be read: then all stays as it is."""
        try:
            data = await asyncio.to_thread(self._file.read_bytes)
            self.revision, content = read_list(data)
        except (OSError, AdapterError) as error:
            log.debug("adapters stay as they are: %s", error)
            return None
        return content

    async def _follow(self, content: AdapterList) -> None:
        base = self._base.model_copy(update={"id": content.base or self._base.id})
        have = {name: Have(held.wanted, held.state, held.again_at) for name, held in self._held.items()}
        actions = reconcile(content.adapters, have, self._clock())
        for name in actions.drop:
            await self._drop(name)
        for adapter in actions.bring:
            await self._start(adapter, base)

    async def _drop(self, name: str) -> None:
        held = self._held.pop(name)
        await self._end([held.task] if held.task else [])
        if held.served:
            self._retire(held.served)
            await self._engine.unload(name)
            log.info("adapter %s is not served any more", name)

    async def _start(self, adapter: Adapter, base: Base) -> None:
        """Begin to bring an adapter; what is served under its name is served until the new one is there."""
        held = self._held.setdefault(adapter.name, Held(adapter))
        await self._end([held.task] if held.task else [])
        if held.wanted != adapter:
            held.wanted, held.failures = adapter, 0
        held.state = State.LOADING
        self.settled.clear()
        job = Job(adapter=adapter, mounts=self._mounts, base=base, home=str(self._home))
        held.task = asyncio.create_task(self._bring(held, job))

    async def _bring(self, held: Held, job: Job) -> None:
        """Prepare and load. However it ends, the state says it."""
        try:
            async with self._slots:
                prepared = await self._prepare(job)
            async with self._loading:
                if held.in_engine != prepared.folder:
                    held.in_engine = None  # if this is broken off, nobody knows which of the two the engine has
                    await self._engine.load(job.adapter.name, prepared.folder)
                    held.in_engine = prepared.folder
        except AdapterError as error:
            self._failed(held, str(error))
        except Exception as error:
            log.exception("adapter %s", job.adapter.name)
            self._failed(held, f"The server could not load it: {type(error).__name__}.")
        else:
            self._loaded(held, prepared)
        finally:
            held.task = None

    def _loaded(self, held: Held, prepared: Prepared) -> None:
        if held.served and held.served.folder != prepared.folder:
            self._retire(held.served)
        self._retired.pop(prepared.folder, None)
        held.served, held.strength = prepared, held.wanted.strength
        held.state, held.reason, held.failures = State.READY, "", 0
        log.info("adapter %s is served: %s, strength %g", held.wanted.name, prepared.digest, held.wanted.strength)

    def _failed(self, held: Held, reason: str) -> None:
        held.failures += 1
        after = again_after(held.failures)
        held.again_at = self._clock() + after
        before = " What was loaded before is still served." if held.served else ""
        held.state, held.reason = State.FAILED, f"{reason}{before}"[:1000]
        log.warning("adapter %s is not loaded: %s It is tried again in %.0f s.", held.wanted.name, reason, after)

    def _retire(self, prepared: Prepared) -> None:
        self._retired[prepared.folder] = self._clock() + KEEP_S

    async def _tidy(self) -> None:
        """Remove files that nobody can need any more."""
        now = self._clock()
        for folder in [folder for folder, until in self._retired.items() if until <= now]:
            del self._retired[folder]
            await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)

    async def _end(self, tasks: list[asyncio.Task[None]]) -> None:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _told(held: Held) -> dict[str, object]:
    served = held.served
    return {
        "name": held.wanted.name,
        "state": str(held.state),
        "reason": held.reason,
        "digest": served.digest if served else None,
        "rank": served.rank if served else None,
        "strength": held.strength,
    }

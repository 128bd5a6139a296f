"""Active-standby: of several processes, the one that holds a coordination.k8s.io/v1 Lease does the work.

`kubernetes.aio.leaderelection` was looked at and not taken: it does not release on exit, counts no transitions,
and measures with the wall clock. The rules here are client-go's, whose times are the defaults too.

Two holders at once are possible for a moment (a process may sleep through its own deadline), so the work must
bear it. The lease saves work; it guards nothing by itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import time
import uuid
from collections.abc import Awaitable, Callable

from services.chassis.kube.backoff import jittered
from services.chassis.kube.client import KubeClient
from services.chassis.kube.errors import KubeError
from services.chassis.kube.lease_record import LeaseRecord, Observed, Terms, may_take
from services.chassis.kube.objects import LEASES, ObjectRef

log = logging.getLogger(__name__)

RELEASE_TIMEOUT = 3.0
"""Seconds a process that is going away spends on handing over."""


class Lease:
    """One process's side of a lease. Every process has its own `identity`."""

    def __init__(
        self,
        client: KubeClient,
        name: str,
        namespace: str,
        *,
        identity: str | None = None,
        terms: Terms | None = None,
    ) -> None:
        self._client = client
        self._ref = ObjectRef(LEASES, name, namespace)
        self._terms = terms or Terms()
        self._observed = Observed(None, time.monotonic())
        self._must_look = True
        self._highest_epoch = -1
        self._renewed_at = float("-inf")
        self.identity = identity or f"{socket.gethostname()}_{os.getpid()}_{uuid.uuid4().hex[:8]}"
        self.held = False
        """Whether this process holds the lease, as far as it knows."""

    @property
    def transitions(self) -> int:
        """How often the lease changed hands: the epoch that fences off what an earlier holder still sends."""
        return self._observed.record.transitions if self._observed.record else 0

    @property
    def holder(self) -> str:
        """The identity of who held it last time we looked; "" for nobody."""
        return self._observed.record.holder if self._observed.record else ""

    async def hold(self, while_held: Callable[[], Awaitable[None]]) -> None:
        """Wait for the lease, run `while_held`, and release the lease when it returns, raises or is cancelled.

        When the lease is lost, `while_held` is cancelled, and started again once the lease is back.
        """
        while True:
            await self._acquire()
            log.info("holding lease %s, epoch %d", self._ref, self.transitions)
            try:
                if await self._run(while_held):
                    return
            finally:
                await self._release()
            log.warning("lost lease %s; waiting to get it back", self._ref)

    async def _acquire(self) -> None:
        while not await self._try(self._terms.renew_deadline_seconds):
            await asyncio.sleep(jittered(self._terms.retry_seconds))

    async def _run(self, while_held: Callable[[], Awaitable[None]]) -> bool:
        """Run the work until it is done (True) or the lease is lost (False)."""
        work = asyncio.ensure_future(while_held())
        renewal = asyncio.create_task(self._renew_until_lost())
        try:
            await asyncio.wait({work, renewal}, return_when=asyncio.FIRST_COMPLETED)
            done = work.done()
        finally:
            work.cancel()
            renewal.cancel()
            await asyncio.wait({work, renewal})
        for task in (work, renewal):
            if not task.cancelled():
                task.result()
        return done

    async def _renew_until_lost(self) -> None:
        while self.held:
            await asyncio.sleep(self._terms.retry_seconds)
            left = self._renewed_at + self._terms.renew_deadline_seconds - time.monotonic()
            renewed = left > 0 and await self._try(left)
            self.held = renewed or (left > 0 and self.holder == self.identity)

    async def _try(self, timeout: float) -> bool:
        """Take or renew the lease once; False when another has it or the server does not answer in time."""
        try:
            async with asyncio.timeout(timeout):
                if self._must_look or not self.held:
                    await self._look()
                if not may_take(self._observed, self.identity, time.monotonic()):
                    return False
                # Counted from before the call: the others count from when the server wrote it, which is later.
                started = time.monotonic()
                await self._write(self._observed.record)
        except (KubeError, TimeoutError) as error:
            log.debug("lease %s: %s", self._ref, error)
            self._must_look = True
            return False
        self._renewed_at = started
        self.held = True
        return True

    async def _look(self) -> None:
        obj = await self._client.get(self._ref)
        self._see(None if obj is None else LeaseRecord.of(obj))

    def _see(self, record: LeaseRecord | None) -> None:
        self._observed = self._observed.seeing(record, time.monotonic())
        self._highest_epoch = max(self._highest_epoch, record.transitions if record else -1)
        self._must_look = False

    async def _write(self, old: LeaseRecord | None) -> None:
        if old is None:
            # Someone may have deleted the Lease: the epoch must not begin again.
            taken = LeaseRecord.first(self.identity, self._terms, self._highest_epoch + 1)
            self._see(LeaseRecord.of(await self._client.create(LEASES, taken.to_object(self._ref))))
            return
        patch = old.taken_by(self.identity, self._terms).to_patch(old.resource_version)
        self._see(LeaseRecord.of(await self._client.merge_patch(self._ref, patch)))

    async def _release(self) -> None:
        """Leave the lease without a holder, so that the next one need not wait for its end."""
        record, self.held = self._observed.record, False
        if record is None or record.holder != self.identity:
            return
        with contextlib.suppress(KubeError, TimeoutError):
            async with asyncio.timeout(RELEASE_TIMEOUT):
                await self._client.merge_patch(self._ref, record.released().to_patch(record.resource_version))

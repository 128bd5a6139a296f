"""Leases on a real API server: one holder at a time, handed over at once or after its duration."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from deploy.local.controlplane import ControlPlane
from services.chassis.kube import LEASES, KubeClient, Lease, ObjectRef, Terms, dig_str
from tests.kubernetes import lease_holder
from tests.kubernetes.cuttable_wire import CuttableWire
from tests.kubernetes.kube_fixtures import client, namespace, until

__all__ = ["client", "namespace"]

pytestmark = pytest.mark.asyncio(loop_scope="session")

TERMS = Terms(duration_seconds=3, renew_deadline_seconds=2, retry_seconds=0.2)


class Candidate:
    """One who wants the lease, and notes when it begins and ends to work."""

    def __init__(self, client: KubeClient, namespace: str, name: str, terms: Terms = TERMS) -> None:
        self.lease = Lease(client, "job", namespace, identity=name, terms=terms)
        self.works = False
        self.began: list[float] = []
        self.ended: list[float] = []

    async def _work(self) -> None:
        self.works = True
        self.began.append(time.monotonic())
        try:
            await asyncio.Event().wait()
        finally:
            self.works = False
            self.ended.append(time.monotonic())

    @asynccontextmanager
    async def standing(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self.lease.hold(self._work))
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait({task})


async def holder(client: KubeClient, namespace: str) -> str:
    return dig_str(await client.get(ObjectRef(LEASES, "job", namespace)), "spec", "holderIdentity")


async def test_one_works_and_the_other_takes_over_at_once_when_it_leaves(client: KubeClient, namespace: str) -> None:
    # A lease that nobody could wait for to end by itself.
    terms = TERMS._replace(duration_seconds=600)
    first, second = (Candidate(client, namespace, name, terms) for name in ("first", "second"))
    async with AsyncExitStack() as stack:
        async with first.standing():
            await until(lambda: first.works)
            await stack.enter_async_context(second.standing())
            await until(lambda: second.lease.holder == "first")
            assert not second.works
        await until(lambda: second.works)
        assert second.lease.transitions == first.lease.transitions + 1
    assert await holder(client, namespace) == ""


async def test_a_holder_that_was_killed_is_followed_after_the_duration(
    client: KubeClient, namespace: str, control_plane: ControlPlane
) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", lease_holder.__name__, namespace, "job", "killed",
        env=dict(os.environ, KUBECONFIG=str(control_plane.kubeconfig)), stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    assert await asyncio.wait_for(process.stdout.readline(), 30) == b"holding\n"
    survivor = Candidate(client, namespace, "survivor")
    async with survivor.standing():
        await until(lambda: survivor.lease.holder == "killed")
        killed_at = time.monotonic()
        process.kill()
        await process.wait()
        assert not survivor.works
        await until(lambda: survivor.works)
    # The duration runs from the last renewal, and a holder stops that goes without one for its deadline.
    assert survivor.began[0] - killed_at >= TERMS.duration_seconds - TERMS.renew_deadline_seconds
    assert survivor.lease.transitions == 1


async def test_a_holder_that_is_cut_off_stops_before_another_starts(
    client: KubeClient, namespace: str, control_plane: ControlPlane, tmp_path: Path
) -> None:
    async with (
        CuttableWire.to(control_plane.kubeconfig, tmp_path) as (wire, through),
        await KubeClient.connect(str(through)) as behind,
    ):
        first, second = Candidate(behind, namespace, "first"), Candidate(client, namespace, "second")
        async with first.standing():
            await until(lambda: first.works)
            async with second.standing():
                await until(lambda: second.lease.holder == "first")
                wire.cut()
                await until(lambda: second.works)
                assert not first.works
                assert first.ended[0] < second.began[0]
                wire.mend()
            await until(lambda: first.works)
    assert first.lease.transitions == 2


async def test_a_deleted_lease_is_made_again_by_its_holder_and_the_epoch_goes_on(
    client: KubeClient, namespace: str
) -> None:
    candidate = Candidate(client, namespace, "first")
    async with candidate.standing():
        await until(lambda: candidate.works)
        await client.delete(ObjectRef(LEASES, "job", namespace))
        await until(lambda: candidate.lease.transitions == 1)
        assert candidate.works
        assert await holder(client, namespace) == "first"


async def test_work_that_is_done_or_fails_releases_the_lease(client: KubeClient, namespace: str) -> None:
    lease = Lease(client, "job", namespace, terms=TERMS)

    async def done() -> None:
        assert await holder(client, namespace) == lease.identity

    async def fails() -> None:
        raise ValueError("no good")

    await lease.hold(done)
    assert await holder(client, namespace) == ""
    with pytest.raises(ValueError, match="no good"):
        await lease.hold(fails)
    assert await holder(client, namespace) == ""

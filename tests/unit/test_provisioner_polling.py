"""A cloud that tells nothing by itself is asked, for all who wait at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from services.contracts.errors import FailureCode, ProviderError
from services.contracts.offers import Offer
from services.provisioner.polling import Polling
from services.provisioner.provider import Instance, InstanceSpec, InstanceState, Key, Owner
from tests.unit.provisioner_cloud import machine

PACE = 0.01


class Cloud:
    """Counts its lists."""

    name = "cloud"
    simulated = False
    owns_nodes = True

    def __init__(self, *machines: Instance) -> None:
        self.machines = machines
        self.lists = 0
        self.refusal: ProviderError | None = None

    async def offers(self) -> tuple[Offer, ...]:
        return ()

    async def list(self, workspace: Key | None = None) -> tuple[Instance, ...]:
        self.lists += 1
        if self.refusal:
            raise self.refusal
        return tuple(i for i in self.machines if workspace in (None, i.owner.key))

    async def create(self, spec: InstanceSpec) -> Instance:
        raise AssertionError(spec)

    async def delete(self, instance: Instance) -> None:
        raise AssertionError(instance)


def of(workspace: int, state: InstanceState = InstanceState.CREATING) -> Instance:
    owner = Owner(namespace="default", name=f"w-{workspace}", uid=f"uid-{workspace}")
    return machine(0, state, uid=owner.uid).model_copy(update={"owner": owner})


def key(workspace: int) -> Key:
    return ("default", f"w-{workspace}")


@asynccontextmanager
async def asking(polling: Polling, changed: Callable[[Key], None]) -> AsyncIterator[None]:
    task = asyncio.create_task(polling.watch(changed))
    yield
    task.cancel()


async def lists(cloud: Cloud, more: int) -> None:
    """Wait until the cloud was asked so often again, and what it answered was looked at."""
    until = cloud.lists + more + 1
    async with asyncio.timeout(5):
        while cloud.lists < until:
            await asyncio.sleep(PACE / 4)


async def test_only_who_waits_is_called_and_only_when_something_has_changed() -> None:
    cloud, called = Cloud(of(1), of(2), of(3)), list[Key]()
    polling = Polling(cloud)
    polling.wait(key(1), [of(1)], PACE)
    polling.wait(key(2), [of(2)], PACE)
    async with asking(polling, called.append):
        await lists(cloud, 2)
        assert called == []
        cloud.machines = (of(1, InstanceState.FAILED), of(2), of(3, InstanceState.FAILED))
        await lists(cloud, 1)
    assert set(called) == {key(1)}


@pytest.mark.parametrize("before", [[], [of(1)]])
async def test_a_machine_that_comes_or_goes_is_told(before: list[Instance]) -> None:
    cloud, called = Cloud(*([] if before else [of(1)])), list[Key]()
    polling = Polling(cloud)
    polling.wait(key(1), before, PACE)
    async with asking(polling, called.append):
        await lists(cloud, 1)
    assert set(called) == {key(1)}


async def test_a_thousand_who_wait_are_one_question() -> None:
    cloud = Cloud(*map(of, range(1000)))
    polling = Polling(cloud)
    for number in range(1000):
        polling.wait(key(number), [of(number)], PACE)
    async with asking(polling, lambda _: None):
        await lists(cloud, 3)
    assert cloud.lists <= 5


async def test_nobody_waits_and_nobody_is_asked() -> None:
    cloud = Cloud(of(1))
    polling = Polling(cloud)
    async with asking(polling, lambda _: None):
        polling.wait(key(1), [of(1)], PACE)
        await lists(cloud, 1)
        polling.rest(key(1))
        await asyncio.sleep(2 * PACE)
        before = cloud.lists
        await asyncio.sleep(5 * PACE)
    assert cloud.lists == before


async def test_a_cloud_that_is_silent_is_asked_again_when_it_wants_to_be() -> None:
    cloud, called = Cloud(), list[Key]()
    cloud.refusal = ProviderError(FailureCode.THROTTLED, "too many", retry_after=PACE)
    polling = Polling(cloud)
    polling.wait(key(1), [of(1)], PACE)
    async with asking(polling, called.append):
        await lists(cloud, 1)
        assert called == []
        cloud.refusal = None
        await lists(cloud, 1)
    assert set(called) == {key(1)}

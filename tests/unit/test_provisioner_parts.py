"""Small parts of the provisioner: locks, limits, metrics, what is read off a node, the registry."""

from __future__ import annotations

import asyncio

import pytest
from prometheus_client import CollectorRegistry

from services.chassis.key_locks import KeyLocks
from services.contracts.errors import FailureCode, ProviderError
from services.contracts.offers import Offer
from services.provisioner.bounded import Bounded
from services.provisioner.measured import Measured
from services.provisioner.node_facts import facts, taint_object, taint_text
from services.provisioner.provider import Instance, InstanceSpec, Key, Provider
from services.provisioner.registry import UnknownProvider, find
from tests.unit.provisioner_cloud import machine


class SlowCloud:
    """Counts how many calls are under way, and answers when it is let."""

    name, simulated, owns_nodes = "slow", False, True

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.now = self.most = 0

    async def offers(self) -> tuple[Offer, ...]:
        raise ProviderError(FailureCode.THROTTLED, "later")

    async def list(self, workspace: Key | None = None) -> tuple[Instance, ...]:
        self.now += 1
        self.most = max(self.most, self.now)
        await self.gate.wait()
        self.now -= 1
        return ()

    async def create(self, spec: InstanceSpec) -> Instance:
        return machine(0)

    async def delete(self, instance: Instance) -> None:
        return None


def bounded(inner: Provider, *, at_once: int = 2, seconds: float = 5) -> Bounded:
    return Bounded(inner, at_once=at_once, changes_per_second=1000, seconds=seconds)


async def test_only_so_many_calls_are_made_at_once() -> None:
    cloud = SlowCloud()
    limited = bounded(cloud)
    calls = [asyncio.create_task(limited.list()) for _ in range(9)]
    await asyncio.sleep(0)
    cloud.gate.set()
    await asyncio.gather(*calls)
    assert cloud.most == 2


async def test_a_cloud_that_does_not_answer_is_a_typed_error() -> None:
    with pytest.raises(ProviderError, match=r"slow did not answer to list within 0\.01 s") as caught:
        await bounded(SlowCloud(), seconds=0.01).list()
    assert caught.value.code is FailureCode.TIMEOUT


async def test_a_mistake_of_a_provider_is_told_and_ends_nothing() -> None:
    class Mistaken(SlowCloud):
        async def list(self, workspace: Key | None = None) -> tuple[Instance, ...]:
            no_machines: dict[str, Instance] = {}
            return (no_machines["token"],)

    with pytest.raises(ProviderError, match=r"slow made a mistake at list \(its log has more\): KeyError") as caught:
        await bounded(Mistaken()).list()
    assert caught.value.code is FailureCode.INTERNAL


async def test_calls_are_counted_by_verb_and_result() -> None:
    registry = CollectorRegistry()
    measured = Measured(SlowCloud(), registry)
    await measured.delete(machine(0))
    with pytest.raises(ProviderError):
        await measured.offers()
    assert registry.get_sample_value("kaitobus_provider_calls_total", {"verb": "delete", "result": "ok"}) == 1
    assert registry.get_sample_value("kaitobus_provider_calls_total", {"verb": "offers", "result": "Throttled"}) == 1


async def test_one_at_a_time_for_each_key() -> None:
    locks, order = KeyLocks(), []

    async def work(key: str, name: str) -> None:
        async with locks.hold(key):
            order.append(f"{name} in")
            await asyncio.sleep(0)
            order.append(f"{name} out")

    await asyncio.gather(work("a", "1"), work("a", "2"), work("b", "3"))
    assert order.index("1 out") < order.index("2 in")
    assert order.index("3 in") < order.index("1 out")


async def test_locks_that_nobody_holds_are_forgotten() -> None:
    locks = KeyLocks()
    async with locks.hold("a"):
        waiting = asyncio.create_task(_hold(locks))
        await asyncio.sleep(0)
        waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    assert locks.in_use == 0


async def _hold(locks: KeyLocks) -> None:
    async with locks.hold("a"):
        pass


@pytest.mark.parametrize("text", ["sku=gpu:NoSchedule", "alone:NoExecute"])
def test_a_taint_is_read_as_it_is_written(text: str) -> None:
    assert taint_text(taint_object(text)) == text


def test_gpus_of_any_maker_are_counted() -> None:
    status = {"allocatable": {"nvidia.com/gpu": "8", "cpu": "4"}}
    assert facts({"metadata": {"name": "n"}, "status": status}).gpus == 8


def test_a_node_without_a_status_is_not_ready() -> None:
    found = facts({"metadata": {"name": "n"}})
    assert (found.ready, found.gpus, found.owner, found.created_at) == (False, 0, None, None)


def test_an_unknown_provider_is_told_which_there_are() -> None:
    with pytest.raises(UnknownProvider, match=r"fake, .*local"):
        find("amazon")

"""The provider `aws`: the real SDK before moto's server, with kubelets on a real API server."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest
import pytest_asyncio

from services.chassis.kube import KubeClient, KubeError
from services.provisioner.providers.aws.nodegroup import NODE_LABEL
from tests.conformance.conftest import nodes_of
from tests.conformance.suite import Cloud, ProviderSuite, meanwhile
from tests.integration.aws_front import (
    OBEYED_IN_SILENCE,
    SILENCE,
    AwsFront,
    Moto,
    Reply,
    aws,
    eks_error,
    moto,
    typed_error,
)
from tests.kubernetes.kubelet import join, leave

__all__ = ["moto"]

SIZE = "g5.xlarge"
QUOTA, CAPACITY, FORBIDDEN = "g5.2xlarge", "g5.4xlarge", "g5.8xlarge"
THROTTLED, LATE, CRASH, VANISHES = "g5.12xlarge", "g5.16xlarge", "g5.24xlarge", "g5.48xlarge"
FAULTS = {
    "quota": QUOTA, "capacity": CAPACITY, "unauthorized": FORBIDDEN, "throttling": THROTTLED, "late": LATE,
    "crash": CRASH, "vanish": VANISHES,
}  # fmt: skip
VANISHES_AFTER = 4.0


def creating(size: str) -> str:
    return f'POST /clusters/.*"{size}"'


def misbehave(front: AwsFront, cloud: Cloud) -> None:
    """Which size meets with what, as EKS answers it."""
    front.always(creating(QUOTA), eks_error("ResourceLimitExceededException", "limit of 30 node groups reached"))
    front.always(creating(FORBIDDEN), typed_error("AccessDeniedException", "not authorized to perform it", 403))
    throttled = eks_error("ThrottlingException", "Rate exceeded", 429, **{"Retry-After": "3"})
    front.script(creating(THROTTLED), throttled, throttled)
    # The SDK tries twice.
    front.script(creating(LATE), OBEYED_IN_SILENCE, SILENCE)
    front.script(creating(CRASH), Reply(silent=True, after=True, first=cloud.kill))


class Eks:
    """What goes on behind EKS: machines boot and join, or cannot; are taken down; and now and then are taken away."""

    def __init__(self, front: AwsFront, moto: Moto, kube: KubeClient) -> None:
        self._front = front
        self._moto = moto
        self._kube = kube
        self._up: dict[str, float] = {}
        self._taken = False

    async def run(self) -> None:
        while True:
            groups = dict(self._front.groups)
            for name in self._up.keys() - groups.keys():
                with suppress(KubeError):
                    await leave(self._kube, node_of(name))
                    del self._up[name]
            for name, asked in groups.items():
                with suppress(KubeError):  # an API server that is slow, a node taken away meanwhile: again, next time
                    await self._go_on(name, asked)
            await asyncio.sleep(0.2)

    async def _go_on(self, name: str, asked: dict[str, object]) -> None:
        if asked["instanceTypes"] == [CAPACITY]:
            words = "Could not launch On-Demand Instances. InsufficientInstanceCapacity - we currently do not have it"
            issue = {"code": "AsgInstanceLaunchFailures", "message": words, "resourceIds": ["asg"]}
            self._front.change(name, status="CREATING", health={"issues": [issue]})
        elif name not in self._up:
            labels = asked["labels"]
            assert isinstance(labels, dict)
            await join(self._kube, node_of(name), labels | {NODE_LABEL: name}, ["sku=gpu:NoSchedule"])
            self._up[name] = time.monotonic()
        elif self._is_reclaimed(name, asked):
            await asyncio.to_thread(self._moto.take_group, self._front.cluster, name)
            self._front.groups.pop(name, None)

    def _is_reclaimed(self, name: str, asked: dict[str, object]) -> bool:
        """One of the size that vanishes, once."""
        here = asked["instanceTypes"] == [VANISHES] and not self._taken
        self._taken |= (gone := here and time.monotonic() - self._up[name] > VANISHES_AFTER)
        return gone


def node_of(group: str) -> str:
    return f"ip-{group}"


class TestAws(ProviderSuite):
    """Each fault is a size of its own: what is refused of one is remembered for that size alone."""

    provider = "aws"
    page = "aws.md"
    size = SIZE

    @pytest_asyncio.fixture(loop_scope="session")
    async def cloud(self, kube: KubeClient, moto: Moto, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Cloud]:
        async with aws(moto, monkeypatch) as front:

            async def left() -> list[str]:
                return [*front.groups, *await nodes_of(kube, "aws")]

            faults = {name: {"instanceType": size} for name, size in FAULTS.items()}
            cloud = Cloud({"KAITOBUS_AWS_REQUEST_SECONDS": "2"}, faults, left)
            misbehave(front, cloud)
            async with meanwhile(Eks(front, moto, kube).run()):
                yield cloud

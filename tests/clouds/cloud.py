"""A cloud on this machine as the provisioner's loop sees it, whichever it is, and what it refuses when told to."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from services.chassis.kube import KubeClient
from services.provisioner.provider import instance_name
from services.provisioner.providers.aws.nodegroup import NODE_LABEL
from services.provisioner.providers.azure.naming import AGENT_POOL, pool_name
from tests.clouds.refusals import CALL_SECONDS, REFUSALS
from tests.integration.aws_front import Moto, aws
from tests.integration.azure_cloud import SIZE, cloud_on, sku
from tests.kubernetes.kubelet import join


@dataclass(frozen=True)
class Cloud:
    """`fail` makes it refuse so from now on, `heal` no more; `refused` has when it did (`time.monotonic`).

    `machines` are all there are, `calls` how many came in. `machine` is what a workspace's machine of that index is
    called there, `join` brings its node up. `env` are the settings under which a provisioner finds it.
    """

    name: str
    size: str
    env: Mapping[str, str]
    fail: Callable[[str], None]
    heal: Callable[[], None]
    refused: list[float]
    machines: Callable[[], list[str]]
    calls: Callable[[], int]
    machine: Callable[[str, int], str]
    join: Callable[[KubeClient, str, int], Awaitable[None]]


@asynccontextmanager
async def on_azure(folder: Path, env: pytest.MonkeyPatch, token_seconds: int = 3600) -> AsyncIterator[Cloud]:
    """An AKS cluster behind a small Resource Manager. A token that lasts a second is asked for anew at each call."""
    async with cloud_on(folder, env) as behind:
        arm = behind.arm
        arm.skus = [sku(SIZE)]
        arm.token_seconds = token_seconds
        env.setenv("KAITOBUS_AZURE_CALL_SECONDS", str(CALL_SECONDS))

        def named(uid: str, index: int) -> str:
            return pool_name(instance_name("azure", uid, index))

        async def comes(kube: KubeClient, uid: str, index: int) -> None:
            pool = arm.state.pools[named(uid, index)]
            labels = pool.properties["nodeLabels"]
            assert isinstance(labels, dict)
            await join(kube, f"aks-{pool.name}", labels | {AGENT_POOL: pool.name}, pool.taints)
            arm.state.succeed(pool.name)

        def machines() -> list[str]:
            arm.state.finish_deletions()
            return list(arm.state.pools)

        yield Cloud("azure", SIZE, _settings("AZURE"), lambda what: REFUSALS[what].azure.play(arm), arm.script.heal,
                    arm.script.answered, machines, lambda: len(arm.seen), named, comes)  # fmt: skip


@asynccontextmanager
async def on_aws(moto: Moto, env: pytest.MonkeyPatch) -> AsyncIterator[Cloud]:
    """An EKS cluster behind moto's server."""
    async with aws(moto, env) as front:
        env.setenv("KAITOBUS_AWS_REQUEST_SECONDS", str(CALL_SECONDS / 2))  # the SDK tries twice

        def named(uid: str, index: int) -> str:
            return instance_name("aws", uid, index)

        async def comes(kube: KubeClient, uid: str, index: int) -> None:
            name = named(uid, index)
            labels = front.groups[name]["labels"]
            assert isinstance(labels, dict)
            await join(kube, f"ip-{name}", labels | {NODE_LABEL: name}, ["sku=gpu:NoSchedule"])

        yield Cloud("aws", "g5.xlarge", _settings("AWS"), lambda what: REFUSALS[what].aws.play(front), front.heal,
                    front.answered, lambda: list(front.groups), lambda: len(front.seen), named, comes)  # fmt: skip


def _settings(cloud: str) -> dict[str, str]:
    """What this process's environment says of a cloud."""
    return {name: value for name, value in os.environ.items() if name.startswith((f"{cloud}_", f"KAITOBUS_{cloud}_"))}

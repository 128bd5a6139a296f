"""A refusal on its way from the cloud's answer to the Workspace's status; the services run as processes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Final, NamedTuple

import pytest

from services.chassis.kube import WORKSPACES, JsonObject
from services.contracts.conditions import ConditionStatus, ConditionType
from services.contracts.status import WorkspaceStatus
from tests.chaos.cast import manifest
from tests.clouds.cloud import Cloud, on_aws, on_azure
from tests.clouds.refusals import CALL_SECONDS, REFUSALS
from tests.integration.aws_front import Moto
from tests.stack import CONVERGES, Stack

QUICK: Final = {
    "KAITOBUS_REFUSAL_SECONDS": "1",  # what was refused in one test is asked for anew in the next
    "KAITOBUS_RETRY_SECONDS": "1",
    "KAITOBUS_COLLECT_SECONDS": "60",  # the first call to be refused is the one for the workspace
}
LOOK_EVERY: Final = 0.05


class Told(NamedTuple):
    """What the status says, and how many seconds after the cloud had refused."""

    status: WorkspaceStatus
    seconds: float


@asynccontextmanager
async def on_both_clouds(stack: Stack, moto: Moto, folder: Path) -> AsyncIterator[tuple[Cloud, ...]]:
    """Azure and AWS, with a provisioner for each beside the one for `fake`."""
    with pytest.MonkeyPatch.context() as env:
        async with on_azure(folder, env, token_seconds=1) as azure, on_aws(moto, env) as aws:
            clouds = (azure, aws)
            names = [stack.add_provisioner(cloud.name, {**cloud.env, **QUICK}) for cloud in clouds]
            await stack.start()
            await stack.start(*names)
            deleting = asyncio.create_task(_finish_deletions(clouds))
            try:
                yield clouds
            finally:
                deleting.cancel()
                await stack.end(*names)


async def _finish_deletions(clouds: Sequence[Cloud]) -> None:
    """What is being deleted there is soon gone: to look at it lets it go on."""
    while True:
        for cloud in clouds:
            cloud.machines()
        await asyncio.sleep(0.2)


def on(cloud: Cloud, size: str | None = None, **parameters: str) -> JsonObject:
    """A workspace on a machine of that cloud; it has the cloud's name. `parameters` are annotations for it."""
    asked = {f"{cloud.name}.kaito.sh/{name.replace('_', '-')}": value for name, value in parameters.items()}
    annotations = {"kaito.sh/provider": cloud.name, **asked}
    found = manifest(cloud.name, instance_type=size or cloud.size)
    return {**found, "metadata": {"name": cloud.name, "annotations": annotations}}


async def refused(stack: Stack, namespace: str, cloud: Cloud, what: str) -> Told:
    """Create a workspace there; what its status says of the refusal as soon as it does. The cloud refuses already."""
    created = time.monotonic()
    workspace = on(cloud)
    await stack.kube.create(WORKSPACES, {**workspace, "metadata": {**_metadata(workspace), "namespace": namespace}})
    _, words = REFUSALS[what].told_by(cloud.name)
    status = await told(stack, namespace, cloud, words)
    seen = time.monotonic()
    first = next(moment for moment in cloud.refused if moment >= created)
    return Told(status, seen - first - (CALL_SECONDS if what == "silence" else 0))


async def told(
    stack: Stack, namespace: str, cloud: Cloud, words: str, where: ConditionType = ConditionType.RESOURCE_READY
) -> WorkspaceStatus:
    """The status, as soon as both its first line and the condition in question say it."""

    async def said() -> WorkspaceStatus | None:
        status = await stack.status(cloud.name, namespace)
        found = [status.condition(kind) for kind in (ConditionType.WORKSPACE_READY, where)]
        return status if all(c and c.status is ConditionStatus.FALSE and words in c.message for c in found) else None

    with suppress(TimeoutError):
        async with asyncio.timeout(CONVERGES):
            while not (status := await said()):
                await asyncio.sleep(LOOK_EVERY)
            return status
    last = await stack.status(cloud.name, namespace)
    pytest.fail(f"'{words}' was not told within {CONVERGES:g} s; the status: {last!r}")


def _metadata(workspace: JsonObject) -> JsonObject:
    found = workspace["metadata"]
    assert isinstance(found, dict)
    return found

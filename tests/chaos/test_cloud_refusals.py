"""A cloud that refuses, seen from the Workspace: its words stand in the status within seconds.

The services run as processes; the provisioner's Azure SDK speaks over TLS to a small Azure on this machine.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from services.chassis.kube import JsonObject
from services.contracts.conditions import ConditionStatus, ConditionType
from services.contracts.status import WorkspaceStatus
from tests.azure_arm.refusals import REFUSALS, fall_silent, refuse
from tests.azure_arm.server import AzureArm
from tests.chaos.cast import Cast, Moment, manifest
from tests.integration.azure_cloud import SIZE, cloud_on, sku
from tests.stack import AT_ONCE, Stack, until

pytestmark = pytest.mark.asyncio(loop_scope="session")

CALL_SECONDS = 2
"""The silent cloud is given up after so long."""

CASES = {**{what: words for what, (_, _, _, words) in REFUSALS.items()}, "silence": "Azure did not answer in time"}
"""What goes wrong, and the words that the user must see."""


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def azure(whole: Stack, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[AzureArm]:
    """The cloud, and a provisioner for it beside the one for `fake`."""
    with pytest.MonkeyPatch.context() as env:
        async with cloud_on(Path(tmp_path_factory.mktemp("azure")), env) as cloud:
            environment = {
                **{name: value for name, value in os.environ.items() if name.startswith(("AZURE_", "KAITOBUS_AZURE_"))},
                "KAITOBUS_AZURE_CALL_SECONDS": str(CALL_SECONDS),
                "KAITOBUS_REFUSAL_SECONDS": "1",  # what was refused in one test is asked for anew in the next
                "KAITOBUS_RETRY_SECONDS": "1",
            }
            cloud.arm.skus = [sku(SIZE)]
            name = whole.add_provisioner("azure", environment)
            await whole.start()
            await whole.start(name)
            deleting = asyncio.create_task(finish_deletions(cloud.arm))
            yield cloud.arm
            deleting.cancel()
            await whole.end(name)


async def finish_deletions(arm: AzureArm) -> None:
    """What is being deleted there is soon gone."""
    while True:
        arm.state.finish_deletions()
        await asyncio.sleep(0.2)


@pytest.mark.parametrize("what", CASES)
async def test_a_refusal_stands_in_the_status_in_the_clouds_words(azure: AzureArm, cast: Cast, what: str) -> None:
    fall_silent(azure.script) if what == "silence" else refuse(azure.script, what)
    try:
        await cast.create(on_azure("refused"), manifest("neighbour"))
        status = await told(cast, CASES[what])
        assert status.failure is not None
        assert CASES[what] in status.failure.message
        assert status.next_step
        assert azure.state.pools == {}
        await cast.reach(Moment.READY, "neighbour")
    finally:
        azure.script.heal()


async def test_a_size_that_the_region_does_not_sell_is_told_with_what_to_change(azure: AzureArm, cast: Cast) -> None:
    await cast.create(on_azure("refused", "Standard_ND96isr_H200_v5"))
    status = await told(cast, "azure is running, but does not offer Standard_ND96isr_H200_v5", ConditionType.PLAN_READY)
    assert "Name another instanceType" in str(status.next_step)
    assert azure.state.pools == {}


def on_azure(name: str, size: str = SIZE) -> JsonObject:
    found = manifest(name, instance_type=size)
    return {**found, "metadata": {"name": name, "annotations": {"kaito.sh/provider": "azure"}}}


async def told(cast: Cast, words: str, where: ConditionType = ConditionType.RESOURCE_READY) -> WorkspaceStatus:
    """The status, as soon as both its first line and the condition in question say it."""

    async def said() -> WorkspaceStatus | None:
        status = await cast.status("refused")
        found = [status.condition(kind) for kind in (ConditionType.WORKSPACE_READY, where)]
        seen = all(c and c.status is ConditionStatus.FALSE and words in c.message for c in found)
        return status if seen else None

    began = time.monotonic()
    status = await until(said, AT_ONCE, f"'{words}'")
    assert status is not None
    assert time.monotonic() - began < AT_ONCE
    return status

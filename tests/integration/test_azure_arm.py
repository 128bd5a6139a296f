"""What Resource Manager may answer besides, by its own rules: how it accepts, has one wait, and fails."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from services.contracts.errors import FailureCode, ProviderError
from services.provisioner.provider import InstanceState
from tests.azure_arm.script import Play
from tests.azure_arm.state import JsonObject
from tests.integration.azure_cloud import Cloud, cloud, pool_of, spec

__all__ = ["cloud"]

CREATING, FAILED = InstanceState.CREATING, InstanceState.FAILED
CODE = FailureCode
NESTED: JsonObject = {
    "code": "DeploymentFailed",
    "message": "At least one resource deployment operation failed.",
    "details": [
        {
            "code": "Conflict",
            "message": "VMSSAgentPoolReconciler retry failed",
            "details": [{"code": "ZonalAllocationFailed", "message": "no room in zone 1"}],
        }
    ],
}


# -- the ways in which a creation is accepted


async def test_202_with_a_location_alone_is_accepted(cloud: Cloud) -> None:
    cloud.arm.by_location = True
    provider = await cloud.provider()
    made = await provider.create(spec())
    assert (made.id, made.name, made.state) == (pool_of(spec()), spec().name, CREATING)
    assert [i.id for i in await provider.list()] == [made.id]
    cloud.arm.state.fail(made.id, "AllocationFailed", "no room", kept=False)
    (found,) = await provider.list()
    assert found.failure is not None
    assert (found.failure.code, found.failure.message) == (CODE.INSUFFICIENT_CAPACITY, "AllocationFailed: no room")


async def test_200_with_a_pool_that_is_creating_is_accepted(cloud: Cloud) -> None:
    provider = await cloud.provider()
    bare = {"name": pool_of(spec()), "properties": {"provisioningState": "Creating"}}
    cloud.arm.script.play("create", Play(200, bare, after=True))
    made = await provider.create(spec())
    assert (made.name, made.state) == (spec().name, CREATING)
    assert [i.id for i in await provider.list()] == [made.id]


@pytest.mark.parametrize("by_location", [False, True])
async def test_an_operation_that_has_failed_ends_the_wait_though_the_pool_still_says_creating(
    cloud: Cloud, by_location: bool
) -> None:
    cloud.arm.by_location = by_location
    provider = await cloud.provider()
    made = await provider.create(spec())
    assert [i.state for i in await provider.list()] == [CREATING]
    cloud.arm.state.fail(made.id, "AllocationFailed", "no room", kept=False)
    cloud.arm.state.pools[made.id].properties["provisioningState"] = "Creating"
    (found,) = await provider.list()
    assert found.state is FAILED
    assert found.failure is not None
    assert found.failure.message == "AllocationFailed: no room"


async def test_an_operation_is_not_looked_at_more_often_than_it_should_be(cloud: Cloud) -> None:
    provider = await cloud.provider(poll_seconds=60)
    await provider.create(spec())
    for _ in range(5):
        await provider.list()
    assert not cloud.arm.calls("operation")


async def test_a_pool_that_was_accepted_and_never_came_is_told_once_and_not_hammered(cloud: Cloud) -> None:
    provider = await cloud.provider()
    made = await provider.create(spec())
    cloud.arm.state.fail(made.id, "QuotaExceeded", "exceeding approved cores", kept=False)
    cloud.arm.state.pools.clear()
    assert await provider.list() == ()
    with pytest.raises(ProviderError, match="exceeding approved cores") as refused:
        await provider.create(spec())
    assert refused.value.code is CODE.QUOTA_EXCEEDED
    assert len(cloud.arm.calls("create")) == 1
    assert (await provider.create(spec())).state is CREATING


async def test_a_list_that_lags_behind_hides_nothing_that_was_accepted(cloud: Cloud) -> None:
    provider = await cloud.provider()
    made = await provider.create(spec())
    cloud.arm.unlisted = {made.id}
    assert [i.id for i in await provider.list()] == [made.id]
    await provider.delete(made)
    cloud.arm.state.finish_deletions()
    assert await provider.list() == ()


# -- waiting


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"Retry-After": "17"}, 17),
        ({"Retry-After": "soon"}, None),
        ({"retry-after-ms": "2500"}, 2.5),
        ({"x-ms-retry-after-ms": "500"}, 0.5),
    ],
)
async def test_429_with_and_without_a_time(cloud: Cloud, headers: dict[str, str], seconds: float | None) -> None:
    provider = await cloud.provider()
    cloud.arm.script.play("create", Play(429, {"error": {"code": "TooManyRequests", "message": "slowly"}}, headers))
    with pytest.raises(ProviderError, match="slowly") as throttled:
        await provider.create(spec())
    assert (throttled.value.code, throttled.value.retry_after) == (CODE.THROTTLED, seconds)


@pytest.mark.parametrize("skew", [timedelta(0), timedelta(hours=-3), timedelta(days=1)])
async def test_a_date_to_retry_after_is_read_by_azures_clock_and_not_by_ours(cloud: Cloud, skew: timedelta) -> None:
    provider = await cloud.provider()
    theirs = datetime.now(UTC) + skew
    dates = {"Date": format_datetime(theirs, usegmt=True)}
    dates["Retry-After"] = format_datetime(theirs + timedelta(seconds=42), usegmt=True)
    cloud.arm.script.play("create", Play(503, "", dates))
    with pytest.raises(ProviderError) as busy:
        await provider.create(spec())
    assert busy.value.retry_after == 42


@pytest.mark.parametrize(
    ("status", "code", "message"),
    [
        (409, "OperationNotAllowed", "Operation is not allowed because there is an in progress delete operation"),
        (409, "AnotherOperationInProgress", "wait"),
        (400, "OperationInProgress", "wait"),
        (409, "Conflict", "Another operation is in progress on this managed cluster"),
    ],
)
async def test_another_operation_is_waited_for(cloud: Cloud, status: int, code: str, message: str) -> None:
    provider = await cloud.provider()
    made = await provider.create(spec(1))
    for kind, call in (("create", lambda: provider.create(spec())), ("delete", lambda: provider.delete(made))):
        cloud.arm.script.refuse(kind, status, code, message, flat=True)
        with pytest.raises(ProviderError, match=message) as busy:
            await call()
        assert (busy.value.code, busy.value.retry_after) == (CODE.THROTTLED, 10)


@pytest.mark.parametrize("code", ["PreconditionFailed", "EtagMismatch"])
async def test_412_adopts_what_is_there_and_passes_where_nothing_is(cloud: Cloud, code: str) -> None:
    provider = await cloud.provider()
    cloud.arm.script.refuse("create", 412, code, "somebody was faster")
    with pytest.raises(ProviderError) as lost:
        await provider.create(spec())
    assert lost.value.code.passes
    cloud.arm.script.play("create", Play(412, {"error": {"code": code, "message": "m"}}, after=True))
    assert (await provider.create(spec())).id == pool_of(spec())
    assert len(cloud.arm.state.pools) == 1


# -- endings


@pytest.mark.parametrize("kept", [True, False])
async def test_the_innermost_cause_of_a_failed_operation_counts(cloud: Cloud, kept: bool) -> None:
    provider = await cloud.provider()
    made = await provider.create(spec())
    cloud.arm.state.fail(made.id, "", "", kept=kept)
    pool = cloud.arm.state.pools[made.id]
    cloud.arm.state.operations[pool.operation]["error"] = NESTED
    if kept:
        pool.properties["status"] = {"provisioningError": NESTED}
    (found,) = await provider.list()
    assert found.failure is not None
    assert found.failure.code is CODE.INSUFFICIENT_CAPACITY
    assert "ZonalAllocationFailed: no room in zone 1" in found.failure.message


async def test_an_error_that_is_json_within_the_text_of_another(cloud: Cloud) -> None:
    provider = await cloud.provider()
    inner = json.dumps({"error": {"code": "SkuNotAvailable", "message": "not here"}})
    cloud.arm.script.refuse("create", 400, "InvalidTemplateDeployment", inner)
    with pytest.raises(ProviderError) as refused:
        await provider.create(spec())
    assert refused.value.code is CODE.INSUFFICIENT_CAPACITY


async def test_a_failed_pool_under_our_name_is_shown_as_failed_and_can_be_taken_down(cloud: Cloud) -> None:
    provider = await cloud.provider()
    made = await provider.create(spec())
    cloud.arm.state.fail(made.id, "AllocationFailed", "no room")
    anew = await cloud.provider()
    assert (await anew.create(spec())).state is FAILED
    await anew.delete(made)
    assert [i.state for i in await anew.list()] == [InstanceState.DELETING]


@pytest.mark.parametrize("status", [200, 202, 204, 404])
async def test_a_deletion_may_be_answered_in_many_ways(cloud: Cloud, status: int) -> None:
    provider = await cloud.provider()
    made = await provider.create(spec())
    body = {"code": "NotFound", "message": "Could not find the agent pool."} if status == 404 else ""
    cloud.arm.script.play("delete", Play(status, body, after=True))
    await provider.delete(made)
    assert [i.state for i in await provider.list()] == [InstanceState.DELETING]
    cloud.arm.state.finish_deletions()
    await provider.delete(made)

"""An Azure that refuses, waits, lies or keeps silent."""

from __future__ import annotations

import asyncio

import pytest

from services.contracts.errors import FailureCode, ProviderError
from services.provisioner.provider import InstanceState
from tests.azure_arm.script import Play
from tests.azure_arm.server import AzureArm
from tests.integration.azure_cloud import Cloud, cloud, pool_of, spec

__all__ = ["cloud"]

Q = "Operation could not be completed as it results in exceeding approved standardNCADSA100v4Family Cores quota."
BUSY = "Operation is not allowed: Another operation (Upgrading) is in progress, please wait for it to finish."
CODE = FailureCode


def tasks_of_the_client() -> set[asyncio.Task[object]]:
    """All tasks but those of the server, which is in this process, too."""
    return {task for task in asyncio.all_tasks() if "web_protocol" not in repr(task)}


@pytest.mark.parametrize(
    ("status", "code", "message", "flat", "meaning"),
    [
        (400, "QuotaExceeded", Q, False, CODE.QUOTA_EXCEEDED),
        (400, "ErrCode_InsufficientVCPUQuota", "Insufficient vcpu quota requested 24", True, CODE.QUOTA_EXCEEDED),
        (409, "OperationNotAllowed", Q, False, CODE.QUOTA_EXCEEDED),
        (400, "SkuNotAvailable", "not available in location eastus", False, CODE.INSUFFICIENT_CAPACITY),
        (409, "AllocationFailed", "", False, CODE.INSUFFICIENT_CAPACITY),
        (409, "ZonalAllocationFailed", "", False, CODE.INSUFFICIENT_CAPACITY),
        (409, "OverconstrainedAllocationRequest", "", False, CODE.INSUFFICIENT_CAPACITY),
        (
            400,
            "InvalidTemplateDeployment",
            'Code="AllocationFailed" x',
            False,
            CODE.INSUFFICIENT_CAPACITY,
        ),
        (400, "SubnetIsFull", "Subnet nodes has no room for 31 addresses", True, CODE.INSUFFICIENT_CAPACITY),
        (
            400,
            "InsufficientSubnetSize",
            "IPs 255 exceeds IPs available",
            True,
            CODE.INSUFFICIENT_CAPACITY,
        ),
        (403, "RequestDisallowedByPolicy", "disallowed by policy 'no GPUs'", False, CODE.INVALID_REQUEST),
        (400, "LocationNotAvailableForResourceType", "", False, CODE.INVALID_REQUEST),
        (400, "BadRequest", "The VM size is not allowed, see https://aka.ms/cpu-quota", True, CODE.INVALID_REQUEST),
        (403, "AuthorizationFailed", "The client does not have authorization", False, CODE.UNAUTHORIZED),
        (401, "InvalidAuthenticationToken", "", False, CODE.UNAUTHORIZED),
        (404, "ResourceNotFound", "managedClusters/aks was not found", False, CODE.NOT_FOUND),
        (409, "Conflict", "something is odd", True, CODE.INTERNAL),
        (500, "InternalServerError", "", True, CODE.INTERNAL),
        (503, "ServerBusy", "", False, CODE.INTERNAL),
    ],
)
async def test_refusals_keep_azures_words(
    cloud: Cloud, status: int, code: str, message: str, flat: bool, meaning: FailureCode
) -> None:
    provider = await cloud.provider()
    cloud.arm.script.refuse("create", status, code, message, flat=flat)
    with pytest.raises(ProviderError) as refused:
        await provider.create(spec())
    assert refused.value.code is meaning
    assert refused.value.message == f"{code}: {message or 'in its own words'}"
    assert len(cloud.arm.calls("create")) == 1
    assert not cloud.arm.state.pools


@pytest.mark.parametrize("kind", ["list", "create", "delete"])
async def test_throttling_says_when_to_come_back(cloud: Cloud, kind: str) -> None:
    provider = await cloud.provider()
    made = await provider.create(spec(1))
    cloud.arm.script.refuse(kind, 429, "TooManyRequests", "slowly, please", Retry_After="37")
    calls = {"list": provider.list(), "create": provider.create(spec()), "delete": provider.delete(made)}
    wanted = calls.pop(kind)
    for other in calls.values():
        other.close()
    with pytest.raises(ProviderError, match="slowly, please") as throttled:
        await wanted
    assert (throttled.value.code, throttled.value.retry_after) == (CODE.THROTTLED, 37)


async def test_throttling_that_is_told_in_words_only(cloud: Cloud) -> None:
    provider = await cloud.provider()
    cloud.arm.script.refuse("create", 429, "Throttled", "limit exceeded, please retry again in 36 seconds", flat=True)
    with pytest.raises(ProviderError) as throttled:
        await provider.create(spec())
    assert (throttled.value.code, throttled.value.retry_after) == (CODE.THROTTLED, 36)


async def test_another_operation_in_progress_is_tried_later(cloud: Cloud) -> None:
    provider = await cloud.provider()
    cloud.arm.script.refuse("create", 409, "OperationNotAllowed", BUSY, flat=True)
    with pytest.raises(ProviderError) as busy:
        await provider.create(spec())
    assert (busy.value.code, busy.value.retry_after) == (CODE.THROTTLED, 10)
    assert (await provider.create(spec())).state is InstanceState.CREATING


async def test_our_own_operation_in_progress_is_the_machine_being_made(cloud: Cloud) -> None:
    provider = await cloud.provider()
    made = await provider.create(spec())
    # The first look does not show the pool yet, as where two processes race.
    cloud.arm.script.refuse("get", 404, "NotFound", "Could not find the agent pool.", flat=True)
    assert (await provider.create(spec())).id == made.id
    assert len(cloud.arm.state.pools) == 1


async def test_deleting_what_is_at_work_is_tried_later(cloud: Cloud) -> None:
    provider = await cloud.provider()
    made = await provider.create(spec())
    cloud.arm.script.refuse("delete", 409, "OperationNotAllowed", BUSY, flat=True)
    with pytest.raises(ProviderError) as busy:
        await provider.delete(made)
    assert busy.value.code is CODE.THROTTLED
    await provider.delete(made)
    assert cloud.arm.state.pools[made.id].state == "Deleting"


@pytest.mark.parametrize(
    ("setting", "code"), [("cluster", "ParentResourceNotFound"), ("resource_group", "ResourceGroupNotFound")]
)
async def test_an_unknown_cluster(cloud: Cloud, setting: str, code: str) -> None:
    provider = await cloud.provider(**{setting: "nowhere"})
    for call in (provider.list(), provider.create(spec())):
        with pytest.raises(ProviderError, match=code) as refused:
            await call
        assert refused.value.code is CODE.NOT_FOUND
    assert code in (await provider.problem() or "")


async def test_a_missing_permission_is_a_problem_until_it_is_given(cloud: Cloud) -> None:
    provider = await cloud.provider()
    cloud.arm.script.refuse("list", 403, "AuthorizationFailed", "does not have authorization to perform action")
    with pytest.raises(ProviderError):
        await provider.list()
    assert "authorization" in (await provider.problem() or "")
    await provider.list()
    assert await provider.problem() is None


async def test_silence_ends_in_a_timeout_and_in_nothing_left_behind(cloud: Cloud) -> None:
    provider = await cloud.provider(call_seconds=0.2)
    await provider.list()
    before = tasks_of_the_client()
    cloud.arm.script.hang("list", times=5)
    for _ in range(5):
        with pytest.raises(ProviderError) as silence:
            await provider.list()
        assert silence.value.code is CODE.TIMEOUT
    assert await provider.list() == ()
    assert tasks_of_the_client() == before


async def test_a_call_that_is_cut_off_does_not_hold_up_the_next(cloud: Cloud) -> None:
    provider = await cloud.provider(call_seconds=30)
    cloud.arm.script.hang("list")
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await provider.list()
    assert await provider.list() == ()


async def test_nobody_is_there(cloud: Cloud) -> None:
    provider = await cloud.provider()
    await provider.list()
    await cloud.arm.close()
    with pytest.raises(ProviderError) as refused:
        await provider.list()
    assert refused.value.code in (CODE.INTERNAL, CODE.TIMEOUT)


JUNK = ["<html>a proxy</html>", "[1]", '{"value": 7}', '{"value": [7]}', '{"value": [{"properties": 7}]}', ""]


@pytest.mark.parametrize("body", JUNK)
async def test_an_answer_that_makes_no_sense_is_an_error_and_no_empty_list(cloud: Cloud, body: str) -> None:
    provider = await cloud.provider()
    cloud.arm.script.play("list", Play(200, body, {"Content-Type": "application/json"}))
    with pytest.raises(ProviderError) as refused:
        await provider.list()
    assert refused.value.code is CODE.INTERNAL


async def test_a_failing_operation_that_cannot_be_read_is_asked_for_again(cloud: Cloud) -> None:
    provider = await cloud.provider()
    made = await provider.create(spec())
    cloud.arm.state.fail(made.id, "AllocationFailed", "no room", kept=False)
    cloud.arm.script.refuse("operation", 500, "InternalServerError")
    reasons = [i.failure.code for _ in range(2) for i in await provider.list() if i.failure]
    assert reasons == [CODE.INTERNAL, CODE.INSUFFICIENT_CAPACITY]


async def test_an_operation_elsewhere_gets_no_token(cloud: Cloud) -> None:
    elsewhere = AzureArm()
    await elsewhere.start()
    provider = await cloud.provider()
    body = {"name": pool_of(spec()), "properties": {"provisioningState": "Creating"}}
    cloud.arm.script.play("create", Play(201, body, {"Azure-AsyncOperation": f"{elsewhere.url}/x"}, after=True))
    await provider.create(spec())
    cloud.arm.state.fail(pool_of(spec()), "AllocationFailed", "no room", kept=False)
    assert [i.state for i in await provider.list()] == [InstanceState.FAILED]
    assert not elsewhere.seen
    await elsewhere.close()


async def test_settings_that_are_missing_or_unsafe_are_told_in_a_sentence(cloud: Cloud) -> None:
    cloud.env.delenv("AZURE_SUBSCRIPTION_ID")
    with pytest.raises(SystemExit, match="AZURE_SUBSCRIPTION_ID is not set"):
        await cloud.provider()
    cloud.env.setenv("AZURE_SUBSCRIPTION_ID", "x")
    with pytest.raises(SystemExit, match="KAITOBUS_AZURE_ENDPOINT must begin with https://"):
        await cloud.provider(endpoint="http://192.0.2.1")

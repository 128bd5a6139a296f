"""What the provider `aws` makes of the states, the health and the end of a node group."""

from __future__ import annotations

import boto3
import pytest

from services.contracts.errors import ProviderError
from services.provisioner.nodes import Nodes
from services.provisioner.provider import InstanceState
from services.provisioner.providers.aws import AwsProvider
from services.provisioner.providers.aws.health import CODES
from tests.integration.aws_fixtures import DELETE, DESCRIBE, NAME, OWNER, cloud, node, nodes, provider, spec
from tests.integration.aws_front import REGION, AwsFront, eks_error, moto

__all__ = ["cloud", "moto", "nodes", "provider"]


# -- taking down


async def test_a_group_that_goes_already_is_no_error(provider: AwsProvider, cloud: AwsFront) -> None:
    made = await provider.create(spec())
    cloud.change(NAME, status="DELETING")
    cloud.always(DELETE, eks_error("ResourceInUseException", "NodeGroup is already being deleted", 409))
    await provider.delete(made)
    assert [machine.state for machine in await provider.list()] == [InstanceState.DELETING]


async def test_a_group_that_cannot_go_yet_is_told_of(provider: AwsProvider, cloud: AwsFront) -> None:
    made = await provider.create(spec())
    cloud.always(DELETE, eks_error("ResourceInUseException", "NodeGroup has an update in progress", 409))
    with pytest.raises(ProviderError, match="update in progress") as caught:
        await provider.delete(made)
    assert caught.value.code.passes


async def test_a_group_that_vanishes_between_list_and_describe_is_gone(provider: AwsProvider, cloud: AwsFront) -> None:
    await provider.create(spec())
    cloud.always(DESCRIBE, eks_error("ResourceNotFoundException", "No node group found", 404))
    assert await provider.list(OWNER.key) == ()


# -- health


def issue(code: str, message: str = "words", *ids: str) -> dict[str, object]:
    return {"issues": [{"code": code, "message": message, "resourceIds": list(ids)}]}


@pytest.mark.parametrize(
    ("code", "message", "expected"),
    [
        ("AsgInstanceLaunchFailures", "Could not launch On-Demand Instances. VcpuLimitExceeded - You have requested "
         "more vCPU capacity than your current vCPU limit of 0 allows.", "QuotaExceeded"),
        ("AsgInstanceLaunchFailures", "Could not launch On-Demand Instances. InsufficientInstanceCapacity - We "
         "currently do not have sufficient p5.48xlarge capacity.", "InsufficientCapacity"),
        ("AsgInstanceLaunchFailures", "Could not launch Spot Instances. UnfulfillableCapacity - Unable to fulfill.",
         "InsufficientCapacity"),
        ("AsgInstanceLaunchFailures", "You are not authorized. UnauthorizedOperation - encoded", "Unauthorized"),
        ("InstanceLimitExceeded", "Your AWS account cannot launch more", "QuotaExceeded"),
        ("InsufficientFreeAddresses", "The subnets have no free addresses", "InsufficientCapacity"),
        ("Ec2SubnetNotFound", "The subnet ID does not exist", "NotFound"),
        ("AccessDenied", "EKS may not authenticate", "Unauthorized"),
        ("NodeCreationFailure", "Instances failed to join the kubernetes cluster", "Timeout"),
    ],
)  # fmt: skip
async def test_a_failed_group_says_why_in_awss_words(
    provider: AwsProvider, cloud: AwsFront, code: str, message: str, expected: str
) -> None:
    await provider.create(spec())
    cloud.change(NAME, status="CREATE_FAILED", health=issue(code, message, "asg-1"))
    (failed,) = await provider.list()
    assert failed.state is InstanceState.FAILED
    assert failed.failure is not None
    assert (failed.failure.code, failed.failure.instance_type) == (expected, "g6.xlarge")
    assert failed.failure.message == f"{message} ({code}: asg-1)"


async def test_a_reason_that_will_not_pass_ends_the_wait_at_once(provider: AwsProvider, cloud: AwsFront) -> None:
    await provider.create(spec())
    cloud.change(NAME, status="CREATING", health=issue("InstanceLimitExceeded"))
    (failed,) = await provider.list()
    assert failed.state is InstanceState.FAILED


async def test_one_that_may_pass_is_told_of_while_it_lasts(provider: AwsProvider, cloud: AwsFront) -> None:
    await provider.create(spec())
    cloud.change(NAME, status="CREATING", health=issue("ClusterUnreachable", "cannot reach"))
    (waiting,) = await provider.list()
    assert (waiting.state, waiting.failure) == (InstanceState.CREATING, None)
    assert waiting.detail == "is CREATING at EKS (cannot reach (ClusterUnreachable))"


async def test_a_degraded_group_whose_node_is_there_goes_on_running(
    provider: AwsProvider, cloud: AwsFront, nodes: Nodes
) -> None:
    await provider.create(spec())
    cloud.change(NAME, status="DEGRADED", health=issue("Ec2SubnetNotFound"))
    assert [machine.state for machine in await provider.list()] == [InstanceState.FAILED]
    nodes.remember(node("n"))
    assert [machine.state for machine in await provider.list()] == [InstanceState.RUNNING]


@pytest.mark.parametrize(
    ("status", "state"),
    [("ACTIVE", "running"), ("UPDATING", "running"), ("DELETING", "deleting"), ("DELETE_FAILED", "failed"),
     ("CREATE_FAILED", "failed"), ("DEGRADED", "running"), ("CREATING", "creating")],
)  # fmt: skip
async def test_every_status_has_its_state(provider: AwsProvider, cloud: AwsFront, status: str, state: str) -> None:
    await provider.create(spec())
    cloud.change(NAME, status=status)
    (machine,) = await provider.list()
    assert machine.state == state
    assert (machine.failure is not None) == (state == "failed")


def test_every_issue_that_the_sdk_knows_has_a_code() -> None:
    client = boto3.Session(region_name=REGION).client("eks", aws_access_key_id="a", aws_secret_access_key="b")
    assert set(client.meta.service_model.shape_for("NodegroupIssueCode").enum) <= set(CODES)

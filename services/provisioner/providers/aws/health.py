"""What EKS finds wrong with a node group, as a failure of ours. The words stay AWS's own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from services.contracts.base import Contract
from services.contracts.errors import Failure, FailureCode
from services.provisioner.providers.aws.errors import mentioned

CODES: Final[Mapping[str, FailureCode]] = {
    "AccessDenied": FailureCode.UNAUTHORIZED,
    "AutoScalingGroupOptInRequired": FailureCode.UNAUTHORIZED,
    "InstanceLimitExceeded": FailureCode.QUOTA_EXCEEDED,
    "LimitExceeded": FailureCode.QUOTA_EXCEEDED,
    "IamLimitExceeded": FailureCode.QUOTA_EXCEEDED,
    "Ec2LaunchTemplateMaxLimitExceeded": FailureCode.QUOTA_EXCEEDED,
    "Ec2LaunchTemplateVersionMaxLimitExceeded": FailureCode.QUOTA_EXCEEDED,
    "AsgInstanceLaunchFailures": FailureCode.INSUFFICIENT_CAPACITY,
    "InsufficientFreeAddresses": FailureCode.INSUFFICIENT_CAPACITY,
    "AutoScalingGroupRateLimitExceeded": FailureCode.THROTTLED,
    "IamThrottling": FailureCode.THROTTLED,
    "AutoScalingGroupNotFound": FailureCode.NOT_FOUND,
    "Ec2SecurityGroupNotFound": FailureCode.NOT_FOUND,
    "Ec2LaunchTemplateNotFound": FailureCode.NOT_FOUND,
    "SourceEc2LaunchTemplateNotFound": FailureCode.NOT_FOUND,
    "Ec2SubnetNotFound": FailureCode.NOT_FOUND,
    "IamInstanceProfileNotFound": FailureCode.NOT_FOUND,
    "IamNodeRoleNotFound": FailureCode.NOT_FOUND,
    "AmiIdNotFound": FailureCode.NOT_FOUND,
    "AutoScalingGroupInvalidConfiguration": FailureCode.INVALID_REQUEST,
    "Ec2SubnetInvalidConfiguration": FailureCode.INVALID_REQUEST,
    "Ec2SubnetMissingIpv6Assignment": FailureCode.INVALID_REQUEST,
    "Ec2SubnetListTooLong": FailureCode.INVALID_REQUEST,
    "Ec2LaunchTemplateVersionMismatch": FailureCode.INVALID_REQUEST,
    "Ec2LaunchTemplateInvalidConfiguration": FailureCode.INVALID_REQUEST,
    "Ec2InstanceTypeDoesNotExist": FailureCode.INVALID_REQUEST,
    "KubernetesLabelInvalid": FailureCode.INVALID_REQUEST,
    "NodeCreationFailure": FailureCode.TIMEOUT,
    "NodeTerminationFailure": FailureCode.INTERNAL,
    "PodEvictionFailure": FailureCode.INTERNAL,
    "Ec2SecurityGroupDeletionFailure": FailureCode.INTERNAL,
    "Ec2LaunchTemplateDeletionFailure": FailureCode.INTERNAL,
    "AutoScalingGroupInstanceRefreshActive": FailureCode.INTERNAL,
    "ClusterUnreachable": FailureCode.INTERNAL,
    "InternalFailure": FailureCode.INTERNAL,
    "Unknown": FailureCode.INTERNAL,
}
"""EKS's NodegroupIssueCode. NodeCreationFailure is a node that was launched and did not join in time."""


class Issue(Contract):
    """One of a group's issues."""

    code: str = "Unknown"
    message: str = ""
    resource_ids: tuple[str, ...] = ()

    @property
    def failure_code(self) -> FailureCode:
        """By the EC2 error that a launch failure repeats, else by EKS's code."""
        own = CODES.get(self.code, FailureCode.INTERNAL)
        return (mentioned(self.message) or own) if self.code == "AsgInstanceLaunchFailures" else own

    @property
    def text(self) -> str:
        """AWS's words, its code, and what it is about."""
        about = f": {', '.join(self.resource_ids)}" if self.resource_ids else ""
        return f"{self.message} ({self.code}{about})"


def as_failure(issues: tuple[Issue, ...], status: str, instance_type: str) -> Failure | None:
    """The issues as one failure: the code of the worst, the words of all. None for a healthy group."""
    if not issues:
        if not status.endswith("_FAILED"):
            return None
        text = f"EKS says {status} and gives no reason"
        return Failure(code=FailureCode.INTERNAL, message=text, instance_type=instance_type)
    worst = min(issues, key=lambda issue: issue.failure_code.passes)
    words = "; ".join(issue.text for issue in sorted(issues, key=lambda issue: issue is not worst))
    return Failure(code=worst.failure_code, message=words, instance_type=instance_type)

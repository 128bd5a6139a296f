"""`aws`: EKS managed node groups, one of them for each machine.

Its identity needs eks:ListNodegroups, DescribeNodegroup, CreateNodegroup, DeleteNodegroup and TagResource on the
cluster and its node groups, iam:PassRole and iam:GetRole on the node role, and ec2:DescribeInstanceTypeOfferings;
without the last the table of all sizes is offered.
"""

from services.provisioner.providers.aws.provider import AwsProvider, make

__all__ = ["AwsProvider", "make"]

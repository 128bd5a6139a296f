"""Karpenter's claims, conditions and reasons, as plain functions."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest

from services.chassis.kube import JsonObject, dig, dig_dict
from services.contracts.errors import FailureCode, ProviderError
from services.provisioner.provider import InstanceSpec, InstanceState, Owner
from services.provisioner.providers.karpenter.claim import claim_name, new_claim, requirements
from services.provisioner.providers.karpenter.node_class import KNOWN, NodeClass, parse, unfit
from services.provisioner.providers.karpenter.progress import instance_of
from services.provisioner.providers.karpenter.reasons import code_of, is_trouble
from services.provisioner.providers.karpenter.settings import KarpenterSettings
from services.provisioner.providers.karpenter.vanished import newest

NOW = datetime(2026, 1, 1, 12, 0, 0, tzinfo=UTC)
SPEC = InstanceSpec(
    name="karpenter-0123456789-0", owner=Owner(namespace="ns", name="w", uid="u"), instance_type="p5.48xlarge",
    labels={"apps": "x"}, taints=("sku=gpu:NoSchedule",), disk_gib=300, image_family="azurelinux",
)  # fmt: skip


def claim(*conditions: tuple[str, str, str, str], node: str | None = None, deleted: bool = False) -> JsonObject:
    made = new_claim(SPEC, KNOWN["EC2NodeClass"])
    metadata = dig_dict(made, "metadata") | {"creationTimestamp": "2026-01-01T12:00:00Z"}
    metadata |= {"deletionTimestamp": "2026-01-01T12:09:00Z"} if deleted else {}
    found = [
        {"type": t, "status": s, "reason": r, "message": m, "lastTransitionTime": "2026-01-01T12:01:00Z"}
        for t, s, r, m in conditions
    ]
    return made | {"metadata": metadata, "status": {"conditions": found} | ({"nodeName": node} if node else {})}


def wanted(spec: InstanceSpec, kind: str) -> dict[str, object]:
    return {str(r["key"]): r["values"] for r in requirements(spec, KNOWN[kind])}


class TestTheClaim:
    """The object that is made."""

    def test_carries_owner_labels_and_those_that_keep_it_alive(self) -> None:
        made = new_claim(SPEC, KNOWN["EC2NodeClass"])
        labels = dig_dict(made, "metadata", "labels")
        assert labels == {
            "apps": "x", "kaito.sh/workspace": "w", "kaito.sh/workspacenamespace": "ns", "kaito.sh/workspace-uid": "u",
            "kaito.sh/provider": "karpenter", "karpenter.sh/nodepool": "kaito", "kaito.sh/machine": SPEC.name,
        }  # fmt: skip
        assert dig(made, "metadata", "annotations") == {
            "karpenter.sh/do-not-disrupt": "true", "kaito.sh/node-image-family": "azurelinux",
        }  # fmt: skip
        assert dig(made, "spec", "taints") == [{"key": "sku", "value": "gpu", "effect": "NoSchedule"}]
        assert dig(made, "spec", "expireAfter") == "Never"

    def test_asks_each_cloud_in_its_own_words(self) -> None:
        assert wanted(SPEC, "KaitoNodeClass")["karpenter.azure.com/sku-name"] == ["p5.48xlarge"]
        aws = wanted(SPEC, "EC2NodeClass")
        assert aws["node.kubernetes.io/instance-type"] == ["p5.48xlarge"]
        assert aws["kubernetes.io/os"] == ["linux"]
        assert aws["karpenter.k8s.aws/instance-gpu-count"] == ["0"]
        assert "karpenter.azure.com/sku-name" not in aws

    def test_asks_for_a_disk_by_the_name_that_the_controller_counts(self) -> None:
        assert dig(new_claim(SPEC, KNOWN["KaitoNodeClass"]), "spec", "resources", "requests") == {"storage": "300Gi"}
        asked = dig(new_claim(SPEC, KNOWN["EC2NodeClass"]), "spec", "resources", "requests")
        assert asked == {"ephemeral-storage": "300Gi"}

    def test_is_on_demand_unless_a_parameter_says_otherwise(self) -> None:
        assert wanted(SPEC, "EC2NodeClass")["karpenter.sh/capacity-type"] == ["on-demand"]
        spot = SPEC.model_copy(update={"parameters": {"capacity-type": "spot, on-demand", "zone": "eu-1a,eu-1b"}})
        found = wanted(spot, "EC2NodeClass")
        assert found["karpenter.sh/capacity-type"] == ["spot", "on-demand"]
        assert found["topology.kubernetes.io/zone"] == ["eu-1a", "eu-1b"]
        with pytest.raises(ProviderError, match="'sopt' is none of on-demand, spot, reserved"):
            wanted(SPEC.model_copy(update={"parameters": {"capacity-type": "sopt"}}), "EC2NodeClass")

    def test_is_named_like_its_machine_or_as_an_agent_pool_may_be(self) -> None:
        assert claim_name(SPEC.name, KNOWN["AKSNodeClass"]) == SPEC.name
        pool = claim_name(SPEC.name, KNOWN["KaitoNodeClass"])
        assert re.fullmatch("[a-z][a-z0-9]{0,11}", pool)
        assert pool == claim_name(SPEC.name, KNOWN["KaitoNodeClass"]) != claim_name("another", KNOWN["KaitoNodeClass"])


class TestProgress:
    """Conditions as states."""

    def test_a_claim_that_nobody_has_touched_says_whom_it_waits_for(self) -> None:
        found = instance_of(claim(), None)
        assert found is not None
        assert found.state is InstanceState.CREATING
        assert "waits for the Karpenter controller" in found.detail
        assert found.created_at == NOW

    def test_on_its_way(self) -> None:
        waits = ("AwaitingReconciliation", "object is awaiting reconciliation")
        found = instance_of(claim(("Launched", "Unknown", *waits), ("Registered", "Unknown", *waits)), None)
        assert found is not None
        assert (found.state, found.detail, found.failure) == (InstanceState.CREATING, "is not launched yet", None)

    def test_launched_and_not_joined(self) -> None:
        steps = (
            ("Launched", "True", "Launched", ""),
            ("Registered", "Unknown", "NodeNotFound", "Node not registered with cluster"),
        )
        found = instance_of(claim(*steps), None)
        assert found is not None
        assert (found.state, found.node_name, found.failure) == (InstanceState.RUNNING, None, None)
        assert found.launched_at == NOW + timedelta(minutes=1)
        assert found.detail == "is not registered yet (NodeNotFound: Node not registered with cluster)"

    def test_joined_but_not_ready_is_no_failure(self) -> None:
        steps = (
            ("Launched", "True", "Launched", ""),
            ("Registered", "True", "Registered", ""),
            ("Initialized", "Unknown", "NodeNotReady", "Node status is NotReady"),
        )
        found = instance_of(claim(*steps, node="n1"), "n0")
        assert found is not None
        assert (found.state, found.node_name, found.failure) == (InstanceState.RUNNING, "n1", None)

    def test_failed_to_launch_and_failed_to_register(self) -> None:
        found = instance_of(claim(("Launched", "Unknown", "VCPULimitExceeded", "limit 0")), None)
        assert found is not None
        assert found.state is InstanceState.FAILED
        assert found.failure is not None
        assert (found.failure.code, found.failure.message) == (
            FailureCode.QUOTA_EXCEEDED, "VCPULimitExceeded: limit 0",
        )  # fmt: skip
        two = ("Registered", "False", "MultipleNodesFound", "matched multiple nodes")
        found = instance_of(claim(("Launched", "True", "Launched", ""), two), None)
        assert found is not None
        assert found.state is InstanceState.FAILED

    def test_going_has_nothing_left_to_fail(self) -> None:
        found = instance_of(claim(("Launched", "False", "LaunchFailed", "x"), deleted=True), None)
        assert found is not None
        assert (found.state, found.failure) == (InstanceState.DELETING, None)

    def test_a_claim_of_somebody_else_is_no_machine(self) -> None:
        assert instance_of({"metadata": {"name": "theirs", "labels": {"a": "b"}}}, None) is None


@pytest.mark.parametrize(
    ("reason", "message", "code"),
    [
        ("InsufficientCapacityError", "all requested instance types were unavailable", "InsufficientCapacity"),
        ("InsufficientCapacityError", "VcpuLimitExceeded: more vCPU than your current vCPU limit", "QuotaExceeded"),
        ("RegionalQuotaReached", "regional quota", "QuotaExceeded"),
        ("FleetQuotaExceeded", "", "QuotaExceeded"),
        ("SKUNotAvailable", "", "InsufficientCapacity"),
        ("OverconstrainedAllocationFailure", "", "InsufficientCapacity"),
        ("InsufficientFreeAddressesInSubnet", "", "InsufficientCapacity"),
        ("LaunchFailed", "creating fleet UnauthorizedOperation: You are not authorized", "Unauthorized"),
        ("LaunchFailed", "RequestDisallowedByPolicy: was disallowed by policy", "Unauthorized"),
        ("AMINotFound", "", "NotFound"),
        ("SecurityGroupSubnetVPCMismatch", "", "InvalidRequest"),
        ("LaunchFailed", "agentpool name(a-b) is invalid, must match regex", "InvalidRequest"),
        ("RequestLimitExceeded", "Request limit exceeded", "Throttled"),
        ("LaunchFailed", "context deadline exceeded", "Timeout"),
        ("LaunchFailed", "boom", "Internal"),
    ],
)
def test_reasons_and_words_have_codes(reason: str, message: str, code: str) -> None:
    assert code_of(reason, message) == code
    assert is_trouble("Unknown", reason)


@pytest.mark.parametrize("reason", ["AwaitingReconciliation", "Launched", "WorkerProvisioning", ""])
def test_a_step_that_is_under_way_is_no_trouble(reason: str) -> None:
    assert not is_trouble("Unknown", reason)
    assert is_trouble("False", reason)


class TestVanished:
    """Events of claims that are gone."""

    @staticmethod
    def event(uid: str, at: datetime, reason: str = "InsufficientCapacityError") -> JsonObject:
        return {"involvedObject": {"uid": uid}, "lastTimestamp": f"{at:%Y-%m-%dT%H:%M:%SZ}", "reason": reason}

    def test_the_newest_that_is_news(self) -> None:
        old, new = self.event("a", NOW - timedelta(seconds=60)), self.event("b", NOW - timedelta(seconds=5))
        assert newest([old, new], set(), NOW) is new
        assert newest([old, new], {"b"}, NOW) is old
        assert newest([old, new], {"a", "b"}, NOW) is None

    def test_neither_what_is_long_ago_nor_what_ends_no_claim(self) -> None:
        assert newest([self.event("a", NOW - timedelta(minutes=6))], set(), NOW) is None
        assert newest([self.event("a", NOW, "FailedDraining")], set(), NOW) is None


class TestNodeClasses:
    """Settings and readiness."""

    def test_known_by_kind_or_written_out(self) -> None:
        assert parse("EC2NodeClass").group == "karpenter.k8s.aws"
        named = parse("karpenter.k8s.aws/EC2NodeClass/gpu")
        assert (named.name, named.skus, named.needs_gpu) == ("gpu", "aws", "karpenter.k8s.aws/instance-gpu-count")
        assert parse("g/K/n") == NodeClass("g", "K", "n")
        for text in ("Nonsense", "a/b", "a//b", ""):
            with pytest.raises(ValueError, match="is no node class"):
                parse(text)

    def test_one_that_is_not_known_needs_a_table_of_sizes(self) -> None:
        with pytest.raises(ValueError, match=r"KAITOBUS_KARPENTER_SKUS must be one of .*azure"):
            KarpenterSettings(node_class="g/K/n")
        assert KarpenterSettings(node_class="g/K/n", skus="aws").chosen().skus == "aws"

    def test_fit_unless_it_says_that_it_is_not_ready(self) -> None:
        assert unfit({}) is None
        condition = {"type": "Ready", "status": "True"}
        assert unfit({"status": {"conditions": [condition]}}) is None
        condition = {"type": "Ready", "status": "Unknown", "reason": "SubnetsNotFound", "message": "none"}
        assert unfit({"status": {"conditions": [condition]}}) == "SubnetsNotFound: none"

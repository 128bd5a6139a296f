"""AKS agent pools as machines: what is asked of Azure, and what becomes of it."""

from __future__ import annotations

import asyncio

import pytest

from services.contracts.errors import FailureCode, ProviderError
from services.contracts.workspace import LABEL_PROVIDER
from services.provisioner.node_facts import facts
from services.provisioner.provider import InstanceState, Owner
from tests.azure_arm.state import JsonObject
from tests.integration.azure_cloud import OWNER, SIZE, Cloud, cloud, pool_of, sku, spec

__all__ = ["cloud"]


def body_sent(cloud: Cloud) -> JsonObject:
    (call,) = cloud.arm.calls("create")
    properties = call.body["properties"]
    assert isinstance(properties, dict)
    return properties


async def test_what_is_asked_for(cloud: Cloud) -> None:
    provider = await cloud.provider(subnet_id="/subnets/nodes")
    wanted = spec(disk_gib=200, image_family="AzureLinux")
    made = await provider.create(wanted)

    sent = body_sent(cloud)
    kept = ("count", "vmSize", "type", "mode", "osType", "osSKU", "osDiskSizeGB", "vnetSubnetID", "nodeTaints")
    assert {name: sent.get(name) for name in kept} == {
        "count": 1,
        "vmSize": SIZE,
        "type": "VirtualMachineScaleSets",
        "mode": "User",
        "osType": "Linux",
        "osSKU": "AzureLinux",
        "osDiskSizeGB": 200,
        "vnetSubnetID": "/subnets/nodes",
        "nodeTaints": ["sku=gpu:NoSchedule"],
    }
    assert sent.keys().isdisjoint({"scaleSetPriority", "availabilityZones", "osDiskType", "minCount", "maxCount"})
    assert sent["tags"] == {
        "kaito.sh_workspace": "phi",
        "kaito.sh_workspacenamespace": "default",
        "kaito.sh_workspace-uid": "uid-1",
        "kaito.sh_instance": wanted.name,
        "kaito.sh_created-at": f"{made.created_at:%Y-%m-%dT%H:%M:%SZ}",
    }
    labels = sent["nodeLabels"]
    assert isinstance(labels, dict)
    assert wanted.labels.items() <= labels.items()
    assert labels["kaito.sh/instance"] == wanted.name
    (call,) = cloud.arm.calls("create")
    assert (call.query["api-version"], call.headers["If-None-Match"]) == ("2026-08-01", "*")


async def test_labels_that_aks_keeps_to_itself_are_left_to_the_loop(cloud: Cloud) -> None:
    provider = await cloud.provider()
    await provider.create(
        spec(labels={"apps": "phi", "kubernetes.azure.com/mode": "user", "node.kubernetes.io/x": "y"})
    )
    labels = body_sent(cloud)["nodeLabels"]
    assert isinstance(labels, dict)
    assert sorted(labels) == ["apps", "kaito.sh/created-at", "kaito.sh/instance"]


async def test_spot_zones_and_disk_by_the_workspaces_annotations(cloud: Cloud) -> None:
    provider = await cloud.provider()
    parameters = {"spot": "true", "zones": "1, 3", "os-disk": "managed", "spot-max-price": "2.5"}
    await provider.create(spec(parameters=parameters))
    sent = body_sent(cloud)
    assert (sent["scaleSetPriority"], sent["scaleSetEvictionPolicy"], sent["spotMaxPrice"]) == ("Spot", "Delete", 2.5)
    assert (sent["availabilityZones"], sent["osDiskType"]) == (["1", "3"], "Managed")


async def test_a_spot_machine_carries_what_its_pods_are_made_to_tolerate(cloud: Cloud) -> None:
    provider = await cloud.provider()
    await provider.create(spec(parameters={"spot": "true"}))
    (pool,) = cloud.arm.state.pools.values()
    cloud.arm.skus = [sku(SIZE)]
    (offer,) = await provider.offers()
    assert set(pool.taints) - {"sku=gpu:NoSchedule"} == set(offer.taints)


@pytest.mark.parametrize(
    ("field", "words"),
    [
        ({"parameters": {"zone": "1"}}, "azure.kaito.sh/zone: is not known"),
        ({"parameters": {"zones": "east"}}, "no list of zones"),
        ({"parameters": {"spot": "maybe"}}, "neither true nor false"),
        ({"parameters": {"spot-max-price": "cheap"}}, "no price"),
        ({"parameters": {"os-disk": "floppy"}}, "none of ephemeral, managed"),
        ({"image_family": "windows"}, "AKS has no 'windows'"),
        ({"disk_gib": 4000}, "2048 GiB at most"),
    ],
)
async def test_a_wish_that_cannot_be_met_is_refused_before_azure_is_asked(
    cloud: Cloud, field: dict[str, object], words: str
) -> None:
    provider = await cloud.provider()
    with pytest.raises(ProviderError, match=words) as refused:
        await provider.create(spec().model_copy(update=field))
    assert refused.value.code is FailureCode.INVALID_REQUEST
    assert not cloud.arm.calls("create")


async def test_pool_names_are_legal_and_always_the_same() -> None:
    names = [pool_of(spec(i, Owner(namespace="a", name="b", uid=f"uid-{i}"))) for i in range(200)]
    assert len(set(names)) == 200
    assert all(len(name) == 12 and name.isalnum() and name.islower() and name[0].isalpha() for name in names)
    assert pool_of(spec()) == pool_of(spec())


async def test_creating_is_submitted_and_not_waited_for(cloud: Cloud) -> None:
    provider = await cloud.provider(poll_seconds=60)
    made = await provider.create(spec())
    assert (made.state, made.name, made.owner) == (InstanceState.CREATING, spec().name, OWNER)
    assert not cloud.arm.calls("operation")
    assert [i.state for i in await provider.list()] == [InstanceState.CREATING]


async def test_creating_twice_gives_one_pool(cloud: Cloud) -> None:
    provider = await cloud.provider()
    first, second = await provider.create(spec()), await provider.create(spec())
    assert (first.id, first.created_at) == (second.id, second.created_at)
    assert len(cloud.arm.calls("create")) == 1


async def test_two_processes_at_once_give_one_pool(cloud: Cloud) -> None:
    one, other = await cloud.provider(), await cloud.provider()
    made = await asyncio.gather(*(provider.create(spec()) for provider in (one, other, one, other)))
    assert len({i.id for i in made}) == len(cloud.arm.state.pools) == 1


async def test_a_crash_between_the_call_and_its_answer_leaves_a_pool_that_is_adopted(cloud: Cloud) -> None:
    cloud.arm.script.hang("create", after=True)
    first = await cloud.provider(call_seconds=0.3)
    with pytest.raises(ProviderError) as silence:
        await first.create(spec())
    assert silence.value.code is FailureCode.TIMEOUT

    second = await cloud.provider()
    (found,) = await second.list(OWNER.key)
    assert (found.name, found.state) == (spec().name, InstanceState.CREATING)
    assert (await second.create(spec())).id == found.id
    assert len(cloud.arm.calls("create")) == 1


async def test_the_node_is_found_once_it_has_joined(cloud: Cloud) -> None:
    provider = await cloud.provider()
    made = await provider.create(spec())
    cloud.arm.state.succeed(made.id, node=False)
    (found,) = await provider.list()
    assert (found.state, found.node_name) == (InstanceState.RUNNING, None)
    cloud.arm.state.succeed(made.id)
    (found,) = await provider.list()
    assert found.node_name == f"aks-{made.id}-12345678-vmss000000"
    assert found.launched_at is not None
    assert found.failure is None


async def test_a_pool_that_aks_still_sets_up_is_launched_once_its_node_has_joined(cloud: Cloud) -> None:
    provider = await cloud.provider()
    made = await provider.create(spec())
    (found,) = await provider.list()
    assert (found.state, found.launched_at) == (InstanceState.CREATING, None)
    assert found.detail == f"agent pool {made.id} is Creating"
    node = cloud.arm.state.pools[made.id].show_node({LABEL_PROVIDER: "azure"})
    cloud.nodes.remember(node)
    (found,) = await provider.list()
    assert (found.state, found.node_name) == (InstanceState.RUNNING, f"aks-{made.id}-12345678-vmss000000")
    assert found.launched_at == facts(node).created_at


@pytest.mark.parametrize("kept", [True, False])
async def test_a_failure_after_azure_has_accepted_is_told_in_its_words(cloud: Cloud, kept: bool) -> None:
    provider = await cloud.provider()
    made = await provider.create(spec())
    text = "VMSSAgentPoolReconciler retry failed: Category: ClientError; SubCode: AllocationFailed; no room for you"
    cloud.arm.state.fail(made.id, "ReconcileVMSSAgentPoolFailed", text, kept=kept)
    (found,) = await provider.list()
    assert found.state is InstanceState.FAILED
    assert found.failure is not None
    assert found.failure.code is FailureCode.INSUFFICIENT_CAPACITY
    assert "no room for you" in found.failure.message


async def test_a_failure_that_nobody_explains_is_a_failure_all_the_same(cloud: Cloud) -> None:
    made = await (await cloud.provider()).create(spec())
    cloud.arm.state.fail(made.id, "AllocationFailed", "no room", kept=False)
    (found,) = await (await cloud.provider()).list()
    assert found.failure is not None
    assert found.failure.code is FailureCode.INTERNAL
    assert f"agent pool {made.id} is Failed" in found.failure.message


async def test_late_success_is_seen(cloud: Cloud) -> None:
    provider = await cloud.provider()
    made = await provider.create(spec())
    cloud.arm.state.fail(made.id, "OperationTimedOut", "too slow")
    assert [i.state for i in await provider.list()] == [InstanceState.FAILED]
    cloud.arm.state.succeed(made.id)
    assert [i.state for i in await provider.list()] == [InstanceState.RUNNING]


async def test_a_node_that_works_outlives_a_failed_upgrade_of_its_pool(cloud: Cloud) -> None:
    provider = await cloud.provider()
    made = await provider.create(spec())
    cloud.arm.state.succeed(made.id)
    cloud.arm.state.fail(made.id, "UpgradeFailed", "the upgrade failed")
    (found,) = await provider.list()
    assert (found.state, found.detail) == (InstanceState.RUNNING, f"agent pool {made.id} is Failed")


async def test_deleting_twice_and_once_more_when_it_is_gone(cloud: Cloud) -> None:
    provider = await cloud.provider()
    made = await provider.create(spec())
    cloud.arm.state.succeed(made.id)
    await provider.delete(made)
    assert [i.state for i in await provider.list()] == [InstanceState.DELETING]
    await provider.delete(made)  # Azure answers 409: it is at work on it
    cloud.arm.state.finish_deletions()
    await provider.delete(made)
    assert await provider.list() == ()
    assert cloud.arm.calls("delete")[0].query["ignore-pod-disruption-budget"] == "true"


async def test_a_name_is_free_only_when_its_pool_is_gone(cloud: Cloud) -> None:
    provider = await cloud.provider()
    made = await provider.create(spec())
    await provider.delete(made)
    assert (await provider.create(spec())).state is InstanceState.DELETING
    assert len(cloud.arm.calls("create")) == 1

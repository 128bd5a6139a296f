"""The provider `aws`: the real SDK over HTTP, against moto's server."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from services.contracts.errors import FailureCode, ProviderError
from services.provisioner.nodes import Nodes
from services.provisioner.provider import InstanceState, Owner
from services.provisioner.providers.aws import AwsProvider
from services.provisioner.providers.aws.settings import AwsSettings
from services.provisioner.registry import Context, find
from tests.integration.aws_fixtures import NAME, OWNER, SIZE, cloud, node, nodes, provider, spec
from tests.integration.aws_front import REGION, AwsFront, Moto, moto

__all__ = ["cloud", "moto", "nodes", "provider"]


# -- one machine


async def test_a_machine_is_a_node_group_of_one_node(provider: AwsProvider, cloud: AwsFront) -> None:
    before = datetime.now(UTC) - timedelta(seconds=2)
    made = await provider.create(spec())
    assert (made.name, made.owner, made.instance_type) == (NAME, OWNER, SIZE)
    assert made.id.startswith(f"arn:aws:eks:{REGION}:")
    assert before <= made.created_at <= datetime.now(UTC)
    assert await provider.list() == await provider.list(OWNER.key) == (made,)


async def test_what_goes_over_the_wire_is_what_eks_asks_for(provider: AwsProvider, cloud: AwsFront) -> None:
    await provider.create(spec(disk_gib=250, parameters={"capacity-type": "spot"}))
    (request,) = cloud.requests("POST")
    assert request.path == f"/clusters/{cloud.cluster}/node-groups"
    body = request.json
    settings = AwsSettings()
    tags = dict(body.pop("tags"))  # type: ignore[call-overload]
    assert len(str(body.pop("clientRequestToken"))) == 32
    assert body == {
        "nodegroupName": NAME,
        "scalingConfig": {"minSize": 1, "maxSize": 1, "desiredSize": 1},
        "diskSize": 250,
        "subnets": list(settings.subnets),
        "instanceTypes": [SIZE],
        "amiType": "AL2023_x86_64_NVIDIA",
        "nodeRole": settings.node_role,
        "labels": {"apps": "w"},
        "taints": [{"key": "sku", "value": "gpu", "effect": "NO_SCHEDULE"}],
        "capacityType": "SPOT",
    }
    assert datetime.fromisoformat(tags.pop("kaito.sh/created-at")) <= datetime.now(UTC)
    assert tags == {
        "kaito.sh/workspace-uid": OWNER.uid,
        "kaito.sh/workspace": "w",
        "kaito.sh/workspacenamespace": "team",
    }


@pytest.mark.parametrize(
    ("size", "family", "image"),
    [
        ("g6.xlarge", "Bottlerocket", "BOTTLEROCKET_x86_64_NVIDIA"),
        ("trn1.2xlarge", None, "AL2023_x86_64_NEURON"),
        ("g4ad.xlarge", None, "AL2023_x86_64_STANDARD"),
        ("p9.unheard-of", None, "AL2023_x86_64_NVIDIA"),
    ],
)
async def test_the_image_goes_by_the_size_and_the_family(
    provider: AwsProvider, cloud: AwsFront, size: str, family: str | None, image: str
) -> None:
    await provider.create(spec(instance_type=size, image_family=family))
    assert cloud.requests("POST")[0].json["amiType"] == image


async def test_asking_twice_or_at_once_gives_one_machine(provider: AwsProvider, cloud: AwsFront, nodes: Nodes) -> None:
    made = await asyncio.gather(*(provider.create(spec()) for _ in range(3)))
    another_process = AwsProvider(AwsSettings(), nodes)
    assert {*made, await another_process.create(spec())} == {made[0]}
    assert await another_process.list() == (made[0],)


async def test_a_group_of_the_name_that_is_not_the_owners_is_not_adopted(
    provider: AwsProvider, cloud: AwsFront, moto: Moto
) -> None:
    moto.make_group(cloud.cluster, NAME, team="other")
    with pytest.raises(ProviderError, match=r"tags do not name this workspace.*already exists") as caught:
        await provider.create(spec())
    assert caught.value.code is FailureCode.INTERNAL
    assert await provider.list() == ()


async def test_a_machine_is_taken_down_once_and_gone_twice_is_no_error(provider: AwsProvider, cloud: AwsFront) -> None:
    made = await provider.create(spec())
    await provider.delete(made)
    assert await provider.list(OWNER.key) == ()
    await provider.delete(made)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"image_family": "ubuntu"}, "kaito.sh/node-image-family can be al2023, bottlerocket"),
        ({"parameters": {"capacity-type": "cheap"}}, "'cheap' is none of on-demand, spot"),
        ({"taints": ("sku=gpu:Never",)}, "the effect is none of NoSchedule"),
    ],
)
async def test_what_eks_cannot_do_is_refused_before_it_is_asked(
    provider: AwsProvider, cloud: AwsFront, wrong: dict[str, object], words: str
) -> None:
    with pytest.raises(ProviderError, match=words) as caught:
        await provider.create(spec().model_copy(update=wrong))
    assert caught.value.code is FailureCode.INVALID_REQUEST
    assert cloud.requests("POST") == []


# -- many machines


async def test_groups_of_others_are_neither_listed_nor_looked_into(
    provider: AwsProvider, cloud: AwsFront, moto: Moto
) -> None:
    moto.make_group(cloud.cluster, "workers")
    moto.make_group(cloud.cluster, "aws-workers", team="other")
    moto.make_group(cloud.cluster, "aws-0123456789-0")
    mine = await provider.create(spec())
    assert await provider.list() == (mine,)
    looked_into = {request.path.rpartition("/")[2] for request in cloud.requests("GET", "node-groups/")}
    assert looked_into == {"aws-0123456789-0", NAME}


async def test_all_pages_are_read(
    provider: AwsProvider, cloud: AwsFront, moto: Moto, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.provisioner.providers.aws.provider.PAGE", 2)
    for number in range(2):
        moto.make_group(cloud.cluster, f"a-{number}")
    mine = await provider.create(spec())
    cloud.seen.clear()
    assert await provider.list() == (mine,)
    assert len([request for request in cloud.requests("GET") if request.path.endswith("/node-groups")]) == 2


async def test_of_a_workspace_only_its_own_groups_are_described(provider: AwsProvider, cloud: AwsFront) -> None:
    others = [Owner(namespace="team", name=f"w{n}", uid=f"uid-{n}") for n in range(5)]
    for owner in (OWNER, *others):
        await provider.create(spec(owner=owner))
    cloud.seen.clear()
    (found,) = await provider.list(OWNER.key)
    assert found.name == NAME
    assert len(cloud.requests("GET", "node-groups/")) == 1


async def test_nothing_is_never_said_from_memory(provider: AwsProvider, nodes: Nodes) -> None:
    """Else a workspace would be let go of while another process's machine for it stands."""
    assert await provider.list(OWNER.key) == ()
    made = await AwsProvider(AwsSettings(), nodes).create(spec())
    assert await provider.list(OWNER.key) == (made,)


async def test_a_workspace_made_anew_under_the_same_name_sees_its_predecessors_machine(
    provider: AwsProvider, cloud: AwsFront
) -> None:
    old = await provider.create(spec())
    new = await provider.create(spec(owner=OWNER.model_copy(update={"uid": "another"})))
    assert set(await provider.list(OWNER.key)) == {old, new}


# -- the node


async def test_a_machine_runs_as_soon_as_its_node_has_joined(
    provider: AwsProvider, cloud: AwsFront, nodes: Nodes
) -> None:
    await provider.create(spec())
    cloud.change(NAME, status="CREATING")
    (waiting,) = await provider.list()
    assert (waiting.state, waiting.node_name) == (InstanceState.CREATING, None)
    assert waiting.detail == "is CREATING at EKS"
    nodes.remember(node("ip-10-0-0-1.eu-west-1.compute.internal"))
    nodes.remember(node("ip-10-0-0-9", group="another"))
    (joined,) = await provider.list()
    assert (joined.state, joined.node_name) == (InstanceState.RUNNING, "ip-10-0-0-1.eu-west-1.compute.internal")
    assert joined.launched_at == datetime(2026, 1, 1, 12, tzinfo=UTC)


async def test_of_a_replaced_node_and_its_successor_the_newer_counts(
    provider: AwsProvider, cloud: AwsFront, nodes: Nodes
) -> None:
    await provider.create(spec())
    nodes.remember(node("new", created="2026-01-01T13:00:00Z"))
    nodes.remember(node("old", created="2026-01-01T12:00:00Z"))
    assert [machine.node_name for machine in await provider.list()] == ["new"]


# -- offers


async def test_the_sizes_that_the_region_sells_are_offered(provider: AwsProvider, cloud: AwsFront) -> None:
    offers = {offer.instance_type: offer for offer in await provider.offers()}
    assert (offers["g5.xlarge"].gpus, offers["g5.xlarge"].gpu_model) == (1, "A10G")
    assert not offers["inf2.xlarge"].runnable
    assert "p5en.48xlarge" not in offers  # moto's list of eu-west-1 has none


async def test_ec2_is_asked_once_for_many_publications(provider: AwsProvider, cloud: AwsFront) -> None:
    assert await provider.offers() == await provider.offers()
    assert len(cloud.requests("POST")) == 1


# -- settings


async def test_the_registry_finds_it_and_missing_settings_are_named(
    cloud: AwsFront, nodes: Nodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = Context(nodes._kube, nodes)
    assert (await find("aws")(context)).name == "aws"
    monkeypatch.delenv("KAITOBUS_AWS_SUBNETS")
    with pytest.raises(ValueError, match="subnets"):
        await find("aws")(context)

"""What is no answer of Resource Manager's, and whom the token never goes to."""

from __future__ import annotations

import pytest

from services.contracts.errors import ProviderError
from services.provisioner.provider import InstanceState
from services.provisioner.providers.azure.settings import AzureSettings
from tests.azure_arm.script import Play
from tests.azure_arm.server import AzureArm
from tests.integration.azure_cloud import Cloud, cloud, spec

__all__ = ["cloud"]

CREATING = InstanceState.CREATING
HTML = "<html><head><style>h1 {color: red}</style></head><body><h1>Bad Gateway</h1><p>try later</p></body></html>"


# -- what is no answer of Azure's


@pytest.mark.parametrize("status", [500, 502, 503, 504])
@pytest.mark.parametrize("kind", ["list", "create"])
async def test_a_proxys_page_is_told_without_its_tags(cloud: Cloud, kind: str, status: int) -> None:
    provider = await cloud.provider()
    cloud.arm.script.play(kind, Play(status, HTML, {"Content-Type": "text/html"}))
    with pytest.raises(ProviderError) as broken:
        await (provider.list() if kind == "list" else provider.create(spec()))
    assert broken.value.code.passes
    assert broken.value.message.startswith(f"Azure answered {status} to ")
    assert "try later" in broken.value.message
    assert not {"<", "color"} & set(broken.value.message.replace("{", " { ").split())
    assert "<" not in broken.value.message


BROKEN = [
    Play(201, '{"name": "kb12", "prop', {"Content-Type": "application/json"}, after=True),
    Play(201, '{"name": "kb12", "prop', {"Content-Type": "application/json"}, after=True, cut=True),
    Play(201, "", after=True),
    Play(201, "null", {"Content-Type": "application/json"}, after=True),
]


@pytest.mark.parametrize("play", BROKEN, ids=["truncated", "connection reset", "empty", "null"])
async def test_half_an_answer_to_a_creation_leaves_one_pool_that_is_adopted(cloud: Cloud, play: Play) -> None:
    provider = await cloud.provider()
    cloud.arm.script.play("create", play)
    with pytest.raises(ProviderError) as broken:
        await provider.create(spec())
    assert broken.value.code.passes
    assert (await provider.create(spec())).state is CREATING
    assert len(cloud.arm.state.pools) == len(cloud.arm.calls("create")) == 1


@pytest.mark.parametrize("play", [Play(200, '{"value": [', cut=True), Play(200, {}), Play(200, {"value": None})])
async def test_half_a_list_is_no_empty_one(cloud: Cloud, play: Play) -> None:
    provider = await cloud.provider()
    await provider.create(spec())
    cloud.arm.script.play("list", play._replace(headers={"Content-Type": "application/json"}))
    with pytest.raises(ProviderError):
        await provider.list()
    assert len(await provider.list()) == 1


async def test_fields_and_values_that_nobody_knows_yet_do_no_harm(cloud: Cloud) -> None:
    provider = await cloud.provider()
    made = await provider.create(spec())
    pool = cloud.arm.state.pools[made.id]
    pool.properties |= {"osSKU": "Ubuntu3000", "mode": "Quantum", "hypervisor": {"a": [1]}, "count": "1"}
    for state, meaning in (("Materializing", CREATING), ("CREATING", CREATING), ("succeeded", InstanceState.RUNNING)):
        pool.properties["provisioningState"] = state
        assert [i.state for i in await provider.list()] == [meaning]
    del pool.properties["provisioningState"]
    assert [i.state for i in await provider.list()] == [CREATING]


async def test_calls_one_after_the_other_go_over_one_connection(cloud: Cloud) -> None:
    """To set up TLS anew, with all authorities, costs each call milliseconds, and half a megabyte for a while."""
    provider = await cloud.provider()
    for _ in range(5):
        await provider.list()
    assert len({seen.peer for seen in cloud.arm.calls("list")}) == 1


# -- where the token goes


@pytest.mark.parametrize("kind", ["list", "skus"])
async def test_a_next_page_elsewhere_gets_no_token(cloud: Cloud, kind: str) -> None:
    elsewhere = AzureArm()
    await elsewhere.start()
    provider = await cloud.provider()
    cloud.arm.script.play(kind, Play(200, {"value": [], "nextLink": f"{elsewhere.url}/next?page=2"}))
    if kind == "list":
        with pytest.raises(ProviderError, match="points to another host, which gets no token"):
            await provider.list()
    else:
        await provider.offers()
    assert not elsewhere.seen
    await elsewhere.close()


async def test_a_redirect_elsewhere_gets_no_token(cloud: Cloud) -> None:
    elsewhere = AzureArm()
    await elsewhere.start()
    provider = await cloud.provider()
    cloud.arm.script.play("list", Play(307, "", {"Location": f"{elsewhere.url}/list"}))
    with pytest.raises(ProviderError):
        await provider.list()
    assert not elsewhere.seen
    await elsewhere.close()


async def test_pages_that_never_end_end(cloud: Cloud) -> None:
    provider = await cloud.provider()
    cloud.arm.script.play("skus", Play(200, {"value": [], "nextLink": f"{cloud.arm.url}/more"}))
    assert len(await provider.offers()) > 0, "the table, since the region's sizes cannot be read"


@pytest.mark.parametrize(
    ("endpoint", "scope", "authority"),
    [
        ("https://management.azure.com", "https://management.azure.com/.default", None),
        (
            "https://management.usgovcloudapi.net/",
            "https://management.usgovcloudapi.net/.default",
            "login.microsoftonline.us",
        ),
        (
            "https://management.chinacloudapi.cn",
            "https://management.chinacloudapi.cn/.default",
            "login.partner.microsoftonline.cn",
        ),
    ],
)
async def test_a_sovereign_cloud_is_a_matter_of_its_endpoint(
    cloud: Cloud, endpoint: str, scope: str, authority: str | None
) -> None:
    settings = AzureSettings(endpoint=endpoint)
    assert (settings.scope, settings.authority) == (scope, authority)
    assert AzureSettings(endpoint=endpoint, audience="https://other").scope == "https://other/.default"

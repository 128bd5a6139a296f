"""What Azure sells in a region, and how much of it the quota still allows."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from services.contracts.errors import ProviderError
from services.contracts.offers import Offer
from services.provisioner.providers.azure import AzureProvider
from tests.azure_arm.server import REGION
from tests.azure_arm.state import JsonObject
from tests.integration.azure_cloud import FAMILY, SIZE, Cloud, cloud_on, sku, spec


@pytest_asyncio.fixture
async def cloud(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Cloud]:
    async with cloud_on(tmp_path, monkeypatch) as found:
        found.arm.skus = [sku(SIZE), sku("Standard_NC48ads_A100_v4", vcpus=48), sku("Standard_D4s_v5", "Dsv5", 4)]
        found.arm.usages = [usage("cores", 500, 10), usage(FAMILY, 100, 24), usage("lowPriorityCores", 30, 0)]
        yield found


def usage(name: str, limit: int, used: int) -> JsonObject:
    return {"name": {"value": name}, "limit": limit, "currentValue": used, "unit": "Count"}


async def offer(provider: AzureProvider, name: str = SIZE) -> Offer | None:
    return next((offer for offer in await provider.offers() if offer.instance_type == name), None)


async def test_only_known_gpu_sizes_that_are_sold_in_the_region(cloud: Cloud) -> None:
    provider = await cloud.provider()
    assert [o.instance_type for o in await provider.offers()] == [SIZE, "Standard_NC48ads_A100_v4"]
    (call,) = cloud.arm.calls("skus")
    assert call.query["$filter"] == "location eq 'eastus'"


async def test_offers_say_how_many_the_narrowest_quota_allows(cloud: Cloud) -> None:
    provider = await cloud.provider()
    assert [o.available for o in await provider.offers()] == [3, 1]


async def test_offers_carry_the_memory_that_sizing_needs(cloud: Cloud) -> None:
    found = await offer(await cloud.provider())
    assert found is not None
    assert (found.gpus, found.gpu_memory_gib, found.cpu, found.memory_gib) == (1, 79.1, 24, 220)


async def test_spot_machines_have_a_quota_of_their_own(cloud: Cloud) -> None:
    provider = await cloud.provider(spot=True)
    assert [o.available for o in await provider.offers()] == [1, 0]


async def test_a_size_that_this_subscription_may_not_have_is_not_offered(cloud: Cloud) -> None:
    bar = {"type": "Location", "values": [REGION], "reasonCode": "NotAvailableForSubscription"}
    elsewhere = bar | {"values": ["westus"]}
    cloud.arm.skus = [sku(SIZE, restrictions=[bar]), sku("Standard_NC48ads_A100_v4", restrictions=[elsewhere])]
    provider = await cloud.provider()
    assert [o.instance_type for o in await provider.offers()] == ["Standard_NC48ads_A100_v4"]


async def test_a_size_that_is_not_in_the_zones_is_not_offered(cloud: Cloud) -> None:
    closed = {"type": "Zone", "values": [REGION], "restrictionInfo": {"locations": [REGION], "zones": ["2"]}}
    cloud.arm.skus = [sku(SIZE, restrictions=[closed]), sku("Standard_NC48ads_A100_v4")]
    provider = await cloud.provider(zones="2,3")
    assert [o.instance_type for o in await provider.offers()] == ["Standard_NC48ads_A100_v4"]


async def test_pages_of_sizes_are_read_to_the_end(cloud: Cloud) -> None:
    cloud.arm.page_size = 1
    assert len(await (await cloud.provider()).offers()) == 2


async def test_what_was_read_is_good_for_minutes(cloud: Cloud) -> None:
    provider = await cloud.provider()
    for _ in range(5):
        await provider.offers()
    assert (len(cloud.arm.calls("skus")), len(cloud.arm.calls("usages"))) == (1, 1)


async def test_a_quota_that_is_found_used_up_is_read_again(cloud: Cloud) -> None:
    provider = await cloud.provider()
    await provider.offers()
    cloud.arm.script.refuse("create", 400, "QuotaExceeded")
    with pytest.raises(ProviderError):
        await provider.create(spec())
    cloud.arm.usages = [usage("cores", 500, 10), usage(FAMILY, 100, 100)]
    found = await offer(provider)
    assert found is not None
    assert found.available == 0


async def test_without_permission_the_table_is_offered_and_it_is_said_once(
    cloud: Cloud, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    for kind in ("skus", "usages"):
        cloud.arm.script.refuse(kind, 403, "AuthorizationFailed", "no permission", times=3)
    provider = await cloud.provider(market_seconds=0.000001)
    for _ in range(3):
        offers = await provider.offers()
        assert len(offers) > 10
        assert {o.available for o in offers} == {None}
    said = [r.getMessage() for r in caplog.records if "cannot be read" in r.getMessage()]
    assert len(said) == 2
    assert any("Microsoft.Compute/skus/read" in text for text in said)


async def test_a_fault_that_passes_leaves_the_last_figures(cloud: Cloud) -> None:
    provider = await cloud.provider(market_seconds=0.000001)
    before = await provider.offers()
    for kind in ("skus", "usages"):
        cloud.arm.script.refuse(kind, 503, "ServerBusy", times=2)
    assert await provider.offers() == before
    assert await provider.offers() == before


async def test_creating_does_not_wait_for_sizes_and_quota(cloud: Cloud) -> None:
    provider = await cloud.provider()
    await provider.create(spec(disk_gib=100))
    assert not cloud.arm.calls("skus") + cloud.arm.calls("usages")
    assert "osDiskType" not in str(cloud.arm.calls("create")[0].body)


async def test_the_os_disk_is_on_the_host_where_it_fits(cloud: Cloud) -> None:
    provider = await cloud.provider()
    await provider.offers()
    await provider.create(spec(0, disk_gib=256))
    await provider.create(spec(1, disk_gib=257))
    kinds = [call.body["properties"].get("osDiskType") for call in cloud.arm.calls("create")]  # type: ignore[attr-defined]  # JSON
    assert kinds == ["Ephemeral", None]

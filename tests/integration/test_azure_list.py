"""Which agent pools the provider `azure` lists: its own, from every page, and from memory for moments only."""

from __future__ import annotations

import asyncio

import pytest

from services.contracts.errors import ProviderError
from tests.azure_arm.state import JsonObject, Pool
from tests.integration.azure_cloud import OWNER, Cloud, cloud, pool_of, spec

__all__ = ["cloud"]


def stranger(cloud: Cloud, name: str, tags: JsonObject | None = None) -> None:
    """A pool that is none of ours."""
    pool = Pool(f"/pools/{name}", name, {"properties": {"vmSize": "Standard_D4s_v5", "tags": tags}})
    pool.properties["provisioningState"] = "Succeeded"
    cloud.arm.state.pools[name] = pool


async def test_other_peoples_pools_are_neither_seen_nor_touched(cloud: Cloud) -> None:
    stranger(cloud, "system")
    stranger(cloud, "team", {"kaito.sh_workspace": "phi"})
    provider = await cloud.provider()
    made = await provider.create(spec())
    assert [i.id for i in await provider.list()] == [made.id]
    await provider.delete(made)
    cloud.arm.state.finish_deletions()
    assert sorted(cloud.arm.state.pools) == ["system", "team"]


async def test_a_pool_of_somebody_else_under_our_name_is_never_adopted(cloud: Cloud) -> None:
    stranger(cloud, pool_of(spec()))
    provider = await cloud.provider()
    with pytest.raises(ProviderError, match="belongs to nobody that Kaito Bus knows; it is left alone"):
        await provider.create(spec())
    assert not cloud.arm.calls("create")


async def test_a_workspace_sees_its_own_machines_by_name_whatever_its_uid(cloud: Cloud) -> None:
    earlier, other = OWNER.model_copy(update={"uid": "uid-0"}), OWNER.model_copy(update={"name": "llama"})
    provider = await cloud.provider()
    for owner in (earlier, OWNER, other):
        await provider.create(spec(owner=owner, name=f"azure-{owner.name}-{owner.uid}-0"))
    assert sorted(i.owner.uid for i in await provider.list(OWNER.key)) == ["uid-0", "uid-1"]
    assert len(await provider.list()) == 3


async def test_lists_are_read_to_the_last_page(cloud: Cloud) -> None:
    cloud.arm.page_size = 2
    provider = await cloud.provider()
    for index in range(5):
        await provider.create(spec(index))
    assert len(await provider.list()) == 5
    assert len(cloud.arm.calls("list")) == 3


async def test_nothing_is_never_said_from_memory(cloud: Cloud) -> None:
    """Else a workspace would be let go of while another process's machine for it stands."""
    here, there = await cloud.provider(list_seconds=60), await cloud.provider(list_seconds=60)
    assert await here.list(OWNER.key) == ()
    made = await there.create(spec())
    assert [i.id for i in await here.list(OWNER.key)] == [made.id]


async def test_many_who_find_nothing_ask_once_more_together(cloud: Cloud) -> None:
    provider = await cloud.provider(list_seconds=60)
    await asyncio.gather(*(provider.list(OWNER.key) for _ in range(20)))
    assert len(cloud.arm.calls("list")) <= 2


async def test_a_list_is_shared_for_moments_but_not_over_a_change_of_ours(cloud: Cloud) -> None:
    provider = await cloud.provider(list_seconds=60)
    await asyncio.gather(*(provider.list() for _ in range(20)))
    assert len(cloud.arm.calls("list")) == 1
    made = await provider.create(spec())
    assert [i.id for i in await provider.list()] == [made.id]

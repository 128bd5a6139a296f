"""List and watch against a real API server, with a wire that breaks and a server that restarts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

import pytest

from deploy.local.controlplane import ControlPlane
from services.chassis.kube import CONFIGMAPS, Deleted, KubeClient, ListWatch, Synced, dig_str
from tests.kubernetes.cuttable_wire import CuttableWire
from tests.kubernetes.kube_fixtures import client, configmap, namespace, ref, until

__all__ = ["client", "namespace"]

pytestmark = pytest.mark.asyncio(loop_scope="session")


class Follower:
    """A task that follows a ListWatch and keeps what it was told."""

    def __init__(self, client: KubeClient, namespace: str) -> None:
        self.list_watch = ListWatch(client, CONFIGMAPS, namespace=namespace, labels="test=kube", max_wait_seconds=0.5)
        self.known: dict[str, str] = {}
        self.deleted: list[str] = []
        self.syncs = 0

    async def follow(self) -> None:
        async with aclosing(self.list_watch.events()) as events:
            async for event in events:
                if isinstance(event, Synced):
                    self.syncs += 1
                elif isinstance(event, Deleted):
                    self.deleted.append(event.ref.name)
                    self.known.pop(event.ref.name, None)
                else:
                    self.known[event.ref.name] = dig_str(event.obj, "data", "x")

    @asynccontextmanager
    async def following(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self.follow())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait({task})


async def test_it_sees_what_is_added_changed_and_deleted(client: KubeClient, namespace: str) -> None:
    await client.create(CONFIGMAPS, configmap(namespace, "old", x="1"))
    follower = Follower(client, namespace)
    async with follower.following():
        await until(lambda: follower.syncs == 1)
        assert follower.known == {"old": "1"}
        await client.create(CONFIGMAPS, configmap(namespace, "new", x="1"))
        await until(lambda: follower.known == {"old": "1", "new": "1"})
        await client.merge_patch(ref(namespace, "new"), {"data": {"x": "2"}})
        await until(lambda: follower.known["new"] == "2")
        await client.delete(ref(namespace, "old"))
        await until(lambda: follower.deleted == ["old"])
    assert follower.syncs == 1
    assert set(follower.list_watch.objects) == {(namespace, "new")}


async def test_what_leaves_the_selection_is_a_deletion(client: KubeClient, namespace: str) -> None:
    await client.create(CONFIGMAPS, configmap(namespace, "a"))
    follower = Follower(client, namespace)
    async with follower.following():
        await until(lambda: "a" in follower.known)
        await client.merge_patch(ref(namespace, "a"), {"metadata": {"labels": {"test": None}}})
        await until(lambda: follower.deleted == ["a"])


async def test_a_deletion_behind_a_broken_wire_is_found(
    client: KubeClient, namespace: str, control_plane: ControlPlane, tmp_path: Path
) -> None:
    for name in ("stays", "goes"):
        await client.create(CONFIGMAPS, configmap(namespace, name, x="1"))
    async with (
        CuttableWire.to(control_plane.kubeconfig, tmp_path) as (wire, through),
        await KubeClient.connect(str(through)) as behind,
    ):
        follower = Follower(behind, namespace)
        async with follower.following():
            await until(lambda: follower.syncs == 1)
            wire.cut()
            await client.delete(ref(namespace, "goes"))
            await client.create(CONFIGMAPS, configmap(namespace, "comes", x="1"))
            await until(lambda: follower.list_watch.last_error is not None)
            assert follower.deleted == []
            wire.mend()
            await until(lambda: follower.syncs == 2)
    assert follower.deleted == ["goes"]
    assert follower.known == {"stays": "1", "comes": "1"}


async def test_it_goes_on_when_the_api_server_restarts(
    client: KubeClient, namespace: str, control_plane: ControlPlane
) -> None:
    await client.create(CONFIGMAPS, configmap(namespace, "before"))
    follower = Follower(client, namespace)
    async with follower.following():
        await until(lambda: follower.syncs == 1)
        await control_plane.restart("kube-apiserver")
        await client.delete(ref(namespace, "before"))
        await client.apply(configmap(namespace, "after"), manager="test")
        await until(lambda: follower.deleted == ["before"] and "after" in follower.known)
        assert follower.list_watch.is_fresh()

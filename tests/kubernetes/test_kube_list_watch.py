"""List and watch against a real API server, with a wire that breaks.

The server is restarted under them in test_control_plane.py.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from deploy.local.controlplane import ControlPlane
from services.chassis.kube import CONFIGMAPS, KubeClient
from tests.kubernetes.cuttable_wire import CuttableWire
from tests.kubernetes.kube_fixtures import Follower, client, configmap, namespace, ref, until

__all__ = ["client", "namespace"]

pytestmark = pytest.mark.asyncio(loop_scope="session")


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

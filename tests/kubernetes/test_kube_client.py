"""The client against a real API server."""

from __future__ import annotations

import pytest

from services.chassis.kube import (
    CONFIGMAPS,
    NODES,
    Conflict,
    Invalid,
    JsonObject,
    KubeClient,
    ObjectRef,
    dig,
    dig_str,
)
from tests.kubernetes.kube_fixtures import client, configmap, namespace, ref

__all__ = ["client", "namespace"]

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_the_server_is_up_and_says_its_version(client: KubeClient) -> None:
    assert await client.healthy()
    assert await client.version() >= (1, 20)


async def test_what_is_not_there_reads_as_none(client: KubeClient, namespace: str) -> None:
    assert await client.get(ref(namespace, "none")) is None
    assert await client.get(ObjectRef(NODES, "none")) is None


async def test_create_refuses_a_name_twice(client: KubeClient, namespace: str) -> None:
    created = await client.create(CONFIGMAPS, configmap(namespace, "a", x="1"))
    assert dig_str(created, "metadata", "uid")
    with pytest.raises(Conflict, match='configmaps "a" already exists') as caught:
        await client.create(CONFIGMAPS, configmap(namespace, "a"))
    assert caught.value.reason == "AlreadyExists"


async def test_an_invalid_object_is_refused_in_the_servers_words(client: KubeClient, namespace: str) -> None:
    with pytest.raises(Invalid, match=r"metadata\.name: Invalid value"):
        await client.create(CONFIGMAPS, configmap(namespace, "Not_A_Name"))


async def test_lists_select_and_carry_the_kind(client: KubeClient, namespace: str) -> None:
    for name in ("a", "b"):
        await client.create(CONFIGMAPS, configmap(namespace, name))
    found = await client.list(CONFIGMAPS, namespace=namespace, labels="test=kube", fields="metadata.name=b")
    assert [dig_str(item, "metadata", "name") for item in found.items] == ["b"]
    assert (found.items[0]["apiVersion"], found.items[0]["kind"]) == ("v1", "ConfigMap")
    everywhere = await client.list(CONFIGMAPS, labels="test=kube")
    assert len(everywhere.items) >= 2


async def test_long_lists_come_whole(client: KubeClient, namespace: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.chassis.kube.client.PAGE", 2)
    names = {f"n{number}" for number in range(5)}
    for name in names:
        await client.create(CONFIGMAPS, configmap(namespace, name))
    found = await client.list(CONFIGMAPS, namespace=namespace, labels="test=kube")
    assert {dig_str(item, "metadata", "name") for item in found.items} == names


async def test_apply_owns_its_fields_and_leaves_those_of_others(client: KubeClient, namespace: str) -> None:
    await client.apply(configmap(namespace, "a", mine="1", dropped="1"), manager="one")
    await client.apply(configmap(namespace, "a", theirs="1"), manager="two")
    applied = await client.apply(configmap(namespace, "a", mine="2"), manager="one")
    assert applied["data"] == {"mine": "2", "theirs": "1"}


async def test_apply_without_force_meets_the_owner(client: KubeClient, namespace: str) -> None:
    await client.apply(configmap(namespace, "a", x="1"), manager="one")
    with pytest.raises(Conflict, match='conflict with "one"'):
        await client.apply(configmap(namespace, "a", x="2"), manager="two", force=False)
    taken = await client.apply(configmap(namespace, "a", x="2"), manager="two")
    assert taken["data"] == {"x": "2"}


async def test_apply_finds_out_kinds_it_never_met(client: KubeClient, namespace: str) -> None:
    role: JsonObject = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "Role",
        "metadata": {"name": "r", "namespace": namespace},
        "rules": [],
    }
    assert (await client.apply(role, manager="one"))["kind"] == "Role"
    with pytest.raises(Invalid, match="no kind 'Nothing'"):
        await client.apply(role | {"kind": "Nothing"}, manager="one")


async def test_apply_writes_a_subresource(client: KubeClient) -> None:
    node: JsonObject = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "kube-client-test"}}
    await client.apply(node, manager="one")
    try:
        status = {"conditions": [{"type": "Ready", "status": "True", "reason": "Test", "message": ""}]}
        await client.apply(node | {"status": status}, manager="one", subresource="status")
        found = await client.get(ObjectRef(NODES, "kube-client-test"))
        assert dig(found, "status", "conditions", 0, "type") == "Ready"
    finally:
        await client.delete(ObjectRef(NODES, "kube-client-test"))


async def test_merge_patch_is_compare_and_set_with_a_version(client: KubeClient, namespace: str) -> None:
    created = await client.create(CONFIGMAPS, configmap(namespace, "a", x="1", y="1"))
    read = dig_str(created, "metadata", "resourceVersion")
    stale: JsonObject = {"metadata": {"resourceVersion": read}, "data": {"x": "3"}}

    patched = await client.merge_patch(ref(namespace, "a"), {"data": {"x": "2", "y": None}})
    assert patched["data"] == {"x": "2"}
    with pytest.raises(Conflict) as caught:
        await client.merge_patch(ref(namespace, "a"), stale)
    assert caught.value.reason == "Conflict"


async def test_delete_spares_a_namesake_and_says_when_it_is_gone(client: KubeClient, namespace: str) -> None:
    created = await client.create(CONFIGMAPS, configmap(namespace, "a"))
    with pytest.raises(Conflict, match="UID in the precondition"):
        await client.delete(ref(namespace, "a"), uid="another")
    assert await client.delete(ref(namespace, "a"), uid=dig_str(created, "metadata", "uid"))
    assert not await client.delete(ref(namespace, "a"))

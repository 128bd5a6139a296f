"""What the tests of the client share: a client of the real API server, and a namespace to write in."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager

import pytest_asyncio

from deploy.local.controlplane import ControlPlane
from services.chassis.kube import (
    CONFIGMAPS,
    NAMESPACES,
    Deleted,
    JsonObject,
    KubeClient,
    ListWatch,
    ObjectRef,
    Synced,
    dig_str,
)


@pytest_asyncio.fixture(loop_scope="session")
async def client(control_plane: ControlPlane) -> AsyncIterator[KubeClient]:
    async with await KubeClient.connect(str(control_plane.kubeconfig)) as client:
        yield client


@pytest_asyncio.fixture(loop_scope="session")
async def namespace(client: KubeClient) -> AsyncIterator[str]:
    name = f"test-{uuid.uuid4().hex[:8]}"
    await client.create(NAMESPACES, {"metadata": {"name": name}})
    yield name
    await client.delete(ObjectRef(NAMESPACES, name))


def configmap(namespace: str, name: str, **data: str) -> JsonObject:
    metadata: JsonObject = {"name": name, "namespace": namespace, "labels": {"test": "kube"}}
    return {
        "apiVersion": CONFIGMAPS.api_version,
        "kind": CONFIGMAPS.kind,
        "metadata": metadata,
        "data": dict(data),
    }


def ref(namespace: str, name: str) -> ObjectRef:
    return ObjectRef(CONFIGMAPS, name, namespace)


async def until(condition: Callable[[], bool], seconds: float = 60) -> None:
    """Wait for a condition, and fail when it does not come."""
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.02)


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

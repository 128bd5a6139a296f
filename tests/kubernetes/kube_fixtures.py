"""What the tests of the client share: a client of the real API server, and a namespace to write in."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable

import pytest_asyncio

from deploy.local.controlplane import ControlPlane
from services.chassis.kube import (
    CONFIGMAPS,
    NAMESPACES,
    JsonObject,
    KubeClient,
    ObjectRef,
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

"""From `kubectl apply` to the StatefulSet, with many workspaces applied at once."""

from __future__ import annotations

import asyncio
import json
import time
from contextlib import aclosing
from pathlib import Path

from services.chassis.kube import NAMESPACES, STATEFULSETS, WORKSPACES, ListWatch, ObjectRef, Resource, Upsert
from tests.bench.figure import Figure
from tests.chaos.cast import manifest
from tests.stack import SERVICES, Stack, until_none

NAMESPACE = "bench"
FILE_NAMESPACE = "bench-file"


async def measure_apply(stack: Stack, *, workspaces: int = 100) -> Figure:
    """Apply them side by side; by the client's clock, from the API server's answer to the watch's event."""
    await stack.kube.create(NAMESPACES, {"metadata": {"name": NAMESPACE}})
    seen: dict[str, float] = {}
    watching = asyncio.create_task(_watch(stack, seen, STATEFULSETS, NAMESPACE))
    names = [f"bench-{number}" for number in range(workspaces)]
    accepted = dict(zip(names, await asyncio.gather(*(_apply(stack, name) for name in names)), strict=True))
    async with asyncio.timeout(120):
        while len(seen) < workspaces:
            await asyncio.sleep(0.01)
    watching.cancel()
    times = tuple(seen[name] - at for name, at in accepted.items())
    return Figure(f"apply to StatefulSet, {workspaces} at once", "s", times, 1)


async def measure_kubectl(stack: Stack, *, workspaces: int = 100) -> Figure:
    """`kubectl apply -f` on one file of all, as a user does; from the watch's word on one to that on the other.

    kubectl asks twice for each, and older ones five times a second at most: 100 take some 40 seconds of its own.
    """
    await stack.kube.create(NAMESPACES, {"metadata": {"name": FILE_NAMESPACE}})
    accepted: dict[str, float] = {}
    seen: dict[str, float] = {}
    resources = ((WORKSPACES, accepted), (STATEFULSETS, seen))
    watching = [asyncio.create_task(_watch(stack, into, resource, FILE_NAMESPACE)) for resource, into in resources]
    file = "".join(f"---\n{json.dumps(manifest(f'bench-{number}'))}\n" for number in range(workspaces))
    await stack.apply(file, FILE_NAMESPACE, seconds=180)
    async with asyncio.timeout(120):
        while len(seen) < workspaces or len(accepted) < workspaces:
            await asyncio.sleep(0.01)
    for task in watching:
        task.cancel()
    times = tuple(max(0.0, seen[name] - at) for name, at in accepted.items())
    return Figure(f"seen to StatefulSet, kubectl apply -f of {workspaces}", "s", times, 1)


async def _apply(stack: Stack, name: str) -> float:
    found = manifest(name)
    await stack.kube.apply({**found, "metadata": {"name": name, "namespace": NAMESPACE}}, manager="bench")
    return time.perf_counter()


async def _watch(stack: Stack, seen: dict[str, float], resource: Resource, namespace: str) -> None:
    async with aclosing(ListWatch(stack.kube, resource, namespace=namespace).events()) as events:
        async for event in events:
            if isinstance(event, Upsert):
                seen.setdefault(event.ref.name, time.perf_counter())


def measure_memory(stack: Stack) -> list[Figure]:
    """The resident memory of each service now."""
    return [Figure(f"memory of {name}", "MB", (_resident(stack.pid(f"{name}-1")),), 120) for name in SERVICES]


def _resident(pid: int) -> float:
    """In MB (10^6 bytes), from VmRSS of proc_pid_status(5), which is in KiB."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    (found,) = [line.split()[1] for line in lines if line.startswith("VmRSS:")]
    return int(found) * 1024 / 1e6


async def delete_all(stack: Stack) -> float:
    """Delete what was measured; returns the seconds until all is gone."""
    began = time.perf_counter()
    found = (await stack.kube.list(WORKSPACES, namespace=NAMESPACE)).items
    await asyncio.gather(*(stack.kube.delete(ObjectRef.of(WORKSPACES, item)) for item in found))

    async def left() -> list[str]:
        items = (await stack.kube.list(WORKSPACES, namespace=NAMESPACE)).items
        return [ObjectRef.of(WORKSPACES, item).name for item in items]

    await until_none(left, 120)
    return time.perf_counter() - began

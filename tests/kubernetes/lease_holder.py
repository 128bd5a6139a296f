"""A process that takes a lease, says so, and works until it is killed. Arguments: namespace, name, identity."""

from __future__ import annotations

import asyncio
import sys

from services.chassis.kube import KubeClient, Lease, Terms


async def work() -> None:
    sys.stdout.write("holding\n")
    sys.stdout.flush()
    await asyncio.Event().wait()


async def main(namespace: str, name: str, identity: str) -> None:
    async with await KubeClient.connect() as client:
        await Lease(client, name, namespace, identity=identity, terms=Terms(3, 2.0, 0.5)).hold(work)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))

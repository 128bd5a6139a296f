"""How long after a cloud has refused its words stand in the Workspace's status."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

from services.chassis.kube import NAMESPACES
from tests.bench.figure import Figure
from tests.clouds.refusals import REFUSALS
from tests.clouds.told import on_both_clouds, refused
from tests.integration.aws_front import Moto
from tests.stack import Stack

GOAL = 5.0


async def measure_refusals(stack: Stack, folder: Path) -> list[Figure]:
    """One figure a refusal and cloud; the services run as processes, the clouds in this one."""
    folder.mkdir()
    logging.getLogger("werkzeug").setLevel(logging.WARNING)  # which tells of each request
    moto = await asyncio.to_thread(Moto)
    try:
        async with on_both_clouds(stack, moto, folder) as clouds:
            figures = []
            for what in REFUSALS:
                namespace = f"refused-{what}"
                await stack.kube.create(NAMESPACES, {"metadata": {"name": namespace}})
                for cloud in clouds:
                    cloud.fail(what)
                    told = await refused(stack, namespace, cloud, what)
                    figures.append(Figure(f"{cloud.name} refuses, {what}: in the status", "s", (told.seconds,), GOAL))
                    cloud.heal()
            return figures
    finally:
        await asyncio.to_thread(moto.stop)

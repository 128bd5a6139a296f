"""Ends node agents and the containers that they run, found by the records of both."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from deploy.local.node.pids import ProcessId
from deploy.local.node.run_files import RunDir, RunRecord
from deploy.local.node.volumes import remove_pod_files
from deploy.local.process import RunningProcess, terminate

AGENT_GRACE_S = 15.0
"""An agent ends its pods when it is told to end; what it has not ended by then is ended here."""

CONTAINER_GRACE_S = 5.0
KILLED_S = 5.0


class _Agent(BaseModel):
    """The process in a machine's record, as the local provisioner writes it."""

    pid: int
    start_ticks: int = Field(alias="startTicks")
    boot_id: str = Field(alias="bootId")


class _Machine(BaseModel):
    """The part of a machine's record that is read here."""

    model_config = ConfigDict(extra="ignore")

    agent: _Agent | None = None


async def end_nodes(folder: Path) -> None:
    """End every agent recorded below `folder`, then the containers that have outlived theirs; remove their files.

    Raises ProcessError or TimeoutError where something does not even end by SIGKILL.
    """
    agents = [agent for path in (folder / "instances").glob("*.json") if (agent := _agent(path))]
    await asyncio.gather(*(terminate(agent, AGENT_GRACE_S) for agent in agents))
    found = (RunDir(path.parent.parent, int(path.parent.name)).run_record() for path in _run_files(folder))
    running = [record for record in found if record and any(one.is_alive() for one in _processes(record))]
    await asyncio.gather(*(_end_container(record) for record in running))
    for pod_dir in folder.glob("*/pods/*"):
        remove_pod_files(pod_dir.name, pod_dir)


def _agent(path: Path) -> RunningProcess | None:
    try:
        agent = _Machine.model_validate_json(path.read_bytes()).agent
    except (OSError, ValidationError):
        return None
    if agent is None:
        return None
    return RunningProcess(
        name=f"node {path.stem}", pid=agent.pid, start_time=agent.start_ticks, boot_id=agent.boot_id, argv=()
    )


def _run_files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("run.json") if path.parent.name.isdigit()]


async def _end_container(record: RunRecord) -> None:
    """The container's own process first; its shim then cleans up and ends by itself."""
    processes = _processes(record)
    for number, targets, limit in (
        (signal.SIGTERM, processes[:1], CONTAINER_GRACE_S),
        (signal.SIGKILL, processes[:1], KILLED_S),
        (signal.SIGKILL, processes, KILLED_S),
    ):
        for process in targets:
            process.signal_group(number)
        if await _all_ended(processes, limit):
            return
    raise TimeoutError(f"container {record.container_id} does not end, not even by SIGKILL")


def _processes(record: RunRecord) -> Sequence[ProcessId]:
    return (record.process, record.shim) if record.process else (record.shim,)


async def _all_ended(processes: Sequence[ProcessId], limit: float) -> bool:
    try:
        async with asyncio.timeout(limit):
            for process in processes:
                await process.ended()
    except TimeoutError:
        return False
    return True

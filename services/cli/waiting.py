"""Waits for a Workspace, its phases shown."""

from __future__ import annotations

import asyncio
import time

from rich.console import Console

from services.chassis.kube.errors import Unreachable
from services.cli.connect import Cluster, cluster
from services.cli.errors import CliError
from services.cli.lookup import find_workspace
from services.cli.view.phases import PhasesView
from services.cli.why import Verdict, explain
from services.cli.workspaces import WorkspaceView
from services.contracts.conditions import ConditionType

READY_SECONDS = 600.0
LOOK_EVERY = 0.3


async def wait_until_ready(namespace: str, name: str, console: Console) -> None:
    """Show the phases until the model answers. Raises CliError when it fails or takes too long, with the reason."""
    deadline = time.monotonic() + READY_SECONDS
    async with cluster() as found:
        with PhasesView(console) as view:
            while True:
                workspace = await _look(found, namespace, name)
                if workspace:
                    view.show(workspace)
                    if workspace.settled and workspace.status.is_true(ConditionType.INFERENCE_READY):
                        return
                    _check(workspace, deadline)
                await asyncio.sleep(LOOK_EVERY)


async def _look(found: Cluster, namespace: str, name: str) -> WorkspaceView | None:
    """The Workspace now; None while the API server does not answer, as when it starts again."""
    try:
        return await find_workspace(found, namespace, name)
    except Unreachable:
        return None


def _check(workspace: WorkspaceView, deadline: float) -> None:
    explanation = explain(workspace)
    late = time.monotonic() > deadline
    if late or explanation.verdict is Verdict.FAILED:
        after = f" after {READY_SECONDS:.0f} s" if late else ""
        raise CliError(
            f"Workspace {workspace.name} is not ready{after}. {explanation.summary} {explanation.message} "
            f"{explanation.next_step}\n.venv/bin/kaitobus why {workspace.name} says more."
        )

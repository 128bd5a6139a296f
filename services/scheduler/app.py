"""Wiring of the scheduler."""

from __future__ import annotations

from typing import Final

from services.chassis.service import Service, run
from services.chassis.settings import Settings, from_environment
from services.contracts.messages import Report, WorkspaceState
from services.contracts.subjects import PREFIX, Stream
from services.scheduler.catalog import load_catalogue
from services.scheduler.known_skus import load_known_skus
from services.scheduler.scheduler import Scheduler

PLANNING: Final = 128
"""Workspaces that are planned side by side. Most of them wait for a lull to say so."""


async def wire(service: Service) -> None:
    """Add what the scheduler does to a service."""
    scheduler = Scheduler(service.bus, load_catalogue(), load_known_skus())
    service.bus.handle(
        WorkspaceState,
        Stream.WORKSPACES,
        "scheduler-workspaces",
        f"{PREFIX}.workspace.>",
        scheduler.on_workspace,
        workers=PLANNING,
    )
    service.bus.handle(Report, Stream.REPORTS, "scheduler-reports", f"{PREFIX}.report.>", scheduler.on_report)


def main() -> None:
    """Run the scheduler until it is told to stop."""
    run("scheduler", from_environment(Settings), wire)

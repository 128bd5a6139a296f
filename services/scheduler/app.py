"""Wiring of the scheduler."""

from __future__ import annotations

from services.chassis.service import Service, run
from services.chassis.settings import Settings, from_environment
from services.contracts.messages import Report, WorkspaceState
from services.contracts.subjects import PREFIX, Stream
from services.scheduler.catalog import load_catalogue
from services.scheduler.known_skus import load_known_skus
from services.scheduler.scheduler import Scheduler


async def wire(service: Service) -> None:
    """Add what the scheduler does to a service."""
    scheduler = Scheduler(service.bus, load_catalogue(), load_known_skus())
    service.bus.handle(
        WorkspaceState, Stream.WORKSPACES, "scheduler-workspaces", f"{PREFIX}.workspace.>", scheduler.on_workspace
    )
    service.bus.handle(Report, Stream.REPORTS, "scheduler-reports", f"{PREFIX}.report.>", scheduler.on_report)


def main() -> None:
    """Run the scheduler until it is told to stop."""
    run("scheduler", from_environment(Settings), wire)

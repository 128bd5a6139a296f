"""Wiring of the scheduler."""

from __future__ import annotations

import sys

from services.chassis.service import Service, run
from services.chassis.settings import Settings, from_environment
from services.contracts.messages import Report, WorkspaceState
from services.contracts.subjects import PREFIX, Stream
from services.scheduler.architectures import load_architectures
from services.scheduler.catalog import load_catalogue
from services.scheduler.hub.book import FactsBook
from services.scheduler.hub.client import HubClient
from services.scheduler.hub.model_facts import reader
from services.scheduler.hub.redirects import BadEndpoint
from services.scheduler.hub.settings import HubSettings
from services.scheduler.hub.tokens import SecretTokens
from services.scheduler.known_skus import load_known_skus
from services.scheduler.scheduler import Scheduler


async def wire(service: Service) -> None:
    """Add what the scheduler does to a service."""
    scheduler = Scheduler(service.bus, load_catalogue(), load_known_skus(), _book(service))
    service.bus.handle(
        WorkspaceState,
        Stream.WORKSPACES,
        "scheduler-workspaces",
        f"{PREFIX}.workspace.>",
        scheduler.on_workspace,
    )
    service.bus.handle(Report, Stream.REPORTS, "scheduler-reports", f"{PREFIX}.report.>", scheduler.on_report)


def _book(service: Service) -> FactsBook | None:
    """What asks the hub; None where there is none."""
    settings = from_environment(HubSettings)
    if settings.hf_hub_offline:
        return None
    try:
        hub = HubClient(settings.hf_endpoint)
    except BadEndpoint as error:
        sys.exit(str(error))
    tokens = SecretTokens()
    service.resources.push_async_callback(tokens.close)
    book = FactsBook(hub, tokens, reader(load_architectures()))
    service.resources.push_async_callback(book.close)
    return book


def main() -> None:
    """Run the scheduler until it is told to stop."""
    run("scheduler", from_environment(Settings), wire)

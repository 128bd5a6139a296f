"""A run as the command line asks for it: connect, wait for the provisioner, play, let go."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

from services.cli.conformance.faults import Faults
from services.cli.conformance.outcome import Result
from services.cli.conformance.runner import NotThere, Suite, cheapest, let_go_of_earlier, until_offered
from services.cli.conformance.scenarios import SCENARIOS
from services.cli.conformance.setting import Restart, Setting, run_shell
from services.cli.conformance.wire import Wire
from services.cli.connect import bus_client
from services.contracts.offers import Offer, Offers


@dataclass(frozen=True)
class Call:
    """The options of the command. `restart` is a shell command, or asks a person."""

    provider: str
    nats: str | None
    credentials: Path | None
    instance_type: str | None
    nodes: int
    patience: float
    faults: Faults
    restart: str | Callable[[], None] | None
    only: frozenset[str]


async def results_of(call: Call) -> AsyncIterator[Result]:
    """Play; each result as it comes. Raises `NotThere` and `CliError`."""
    async with bus_client(call.nats, call.credentials) as client:
        wire = Wire(client, call.provider)
        async with wire.topology():
            offers = await until_offered(wire)
            await let_go_of_earlier(wire)
            chosen = [scenario for scenario in SCENARIOS if scenario.name in call.only]
            async for result in Suite(_setting(call, wire, offers)).run(chosen):
                yield result


def _setting(call: Call, wire: Wire, offers: Offers) -> Setting:
    offer = _offer(call, offers)
    nodes = call.nodes if offer.available is None else min(call.nodes, offer.available)
    restart = _restart(call.restart)
    return Setting(wire, offer.instance_type, nodes, call.patience, call.faults, restart)


def _offer(call: Call, offers: Offers) -> Offer:
    """The size to demand. Raises `NotThere` where it is not offered."""
    if call.instance_type is None:
        if found := cheapest(offers):
            return found
        raise NotThere(f"{call.provider} offers nothing that can be had now")
    if found := offers.find(call.instance_type):
        return found
    names = ", ".join(offer.instance_type for offer in offers.offers[:20])
    raise NotThere(f"{call.provider} does not offer {call.instance_type}; it offers {names}")


def _restart(how: str | Callable[[], None] | None) -> Restart | None:
    if how is None:
        return None

    async def restart() -> None:
        if isinstance(how, str):
            await run_shell(how)
        else:
            await asyncio.to_thread(how)

    return restart

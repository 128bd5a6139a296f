"""Wiring of the provisioner: one provider, its loop, its offers, its garbage collection."""

from __future__ import annotations

import functools
import sys
from typing import Final

from pydantic import ValidationError

from services.chassis.kube import BadKubeconfig, KubeClient
from services.chassis.service import Service, run
from services.chassis.settings import from_environment
from services.chassis.settle import readable
from services.contracts.messages import Demand
from services.contracts.subjects import PREFIX, Stream, provisioner_consumer
from services.provisioner.bounded import Bounded
from services.provisioner.collect import Collector
from services.provisioner.loop import Loop
from services.provisioner.measured import Measured
from services.provisioner.nodes import Nodes
from services.provisioner.offers import OfferPublisher
from services.provisioner.polling import Polling
from services.provisioner.provider import Background, Deadlines, Provider, Unhurried, Watching
from services.provisioner.refusals import Refusals
from services.provisioner.registry import Context, UnknownProvider, find
from services.provisioner.settings import ProvisionerSettings

FOLLOWERS: Final = 8
"""Changes that are looked at at the same time, beside what the bus shows."""


async def wire(service: Service, settings: ProvisionerSettings) -> None:
    """Add what the provisioner does to a service. Raises `UnknownProvider` and `BadKubeconfig`."""
    make = find(settings.provider)
    kube = await KubeClient.connect()
    service.resources.push_async_callback(kube.close)
    nodes = Nodes(kube, settings.name, resync_seconds=settings.resync_seconds)
    inner = await make(Context(kube, nodes, settings.name))
    if inner.name != settings.name:
        # It would go on by its own name in its cloud, and take another's machines for its own.
        raise UnknownProvider(f"{inner.name} serves under that name alone: unset KAITOBUS_PROVIDER_NAME")
    provider = _guarded(inner, service, settings)
    offers = OfferPublisher(service.bus, provider, settings.offer_seconds)
    watching = inner if isinstance(inner, Watching) else Polling(provider)
    polling = watching if isinstance(watching, Polling) else None
    deadlines = settings.deadlines(inner.deadlines if isinstance(inner, Unhurried) else Deadlines())
    loop = Loop(service.bus, provider, nodes, offers, Refusals(settings.pauses), deadlines, polling)
    collector = Collector(service.bus, kube, provider, nodes, loop.locks, settings)

    name = provider.name
    service.bus.handle(Demand, Stream.DEMANDS, provisioner_consumer(name), f"{PREFIX}.demand.{name}.>", loop.handle)
    service.tasks += [
        nodes.run,
        *[loop.follow] * FOLLOWERS,
        functools.partial(loop.look_at_all, service.connected),
        functools.partial(watching.watch, loop.look),
        functools.partial(offers.run, service.connected),
        functools.partial(collector.run, service.connected),
    ]
    service.health.add("offers", offers.problem)
    service.health.add("nodes", functools.partial(_nodes_problem, nodes))
    if isinstance(inner, Background):
        service.tasks.append(inner.run)
        service.health.add(name, inner.problem)


def _guarded(inner: Provider, service: Service, settings: ProvisionerSettings) -> Provider:
    """The provider with limits and metrics around it."""
    measured = Measured(inner, service.metrics.registry)
    return Bounded(
        measured,
        at_once=settings.cloud_concurrency,
        changes_per_second=settings.cloud_rate,
        seconds=settings.cloud_timeout_seconds,
    )


async def _nodes_problem(nodes: Nodes) -> str | None:
    return None if nodes.is_fresh() else "the watch of nodes is not fresh"


def main() -> None:
    """Run the provisioner until it is told to stop."""
    settings = from_environment(ProvisionerSettings)
    try:
        run("provisioner", settings, functools.partial(wire, settings=settings))
    except ValidationError as error:
        sys.exit(f"the provisioner cannot start; these settings (KAITOBUS_... in the environment): {readable(error)}")
    except (UnknownProvider, BadKubeconfig) as error:
        sys.exit(f"the provisioner cannot start: {error}")

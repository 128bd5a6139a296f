"""What the suite plays, in order. Each scenario has a workspace of its own, and its reports are checked all along."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from services.cli.conformance import letters, trouble
from services.cli.conformance.case import QUICKLY, Case
from services.cli.conformance.checks import is_ready, missing_headers
from services.cli.conformance.faults import FaultName
from services.cli.conformance.outcome import Breach, NotAsked
from services.cli.conformance.rules import Rule
from services.cli.conformance.setting import Setting

QUIET: Final = 3.0
"""Seconds for which the suite goes on listening after what must change nothing."""
BURST: Final = 10

Play = Callable[[Case, Setting], Awaitable[None]]


@dataclass(frozen=True)
class Scenario:
    """A name, what is played, and what it takes: so many nodes, a fault, somebody who restarts the provisioner."""

    name: str
    play: Play
    nodes: int = 1
    fault: FaultName | None = None
    restarts: bool = False


async def create(case: Case, _: Setting) -> None:
    """A demand of one node becomes one ready node."""
    await case.want(1)
    await case.until_taken_up()
    await case.until_ready(1)


async def scale(case: Case, setting: Setting) -> None:
    """More nodes, then fewer."""
    for nodes in (1, setting.nodes, 1):
        await case.want(nodes)
        await case.until_taken_up()
        await case.until_ready(nodes)


async def same_demand(case: Case, _: Setting) -> None:
    """The same demand, again and again, while the node comes and when it is there: one node, and nothing to say."""
    wanted = await case.want(1)
    for again in range(1, 4):
        await case.repeat(wanted, again)
    first = await case.until_ready(1)
    for again in range(4, 7):
        await case.repeat(wanted, again)
    await case.quiet(QUIET)
    _same_nodes(case, [node.name for node in first.nodes])


async def newest_wins(case: Case, setting: Setting) -> None:
    """A burst of demands; the last of them counts."""
    for revision in range(1, BURST + 1):
        await case.want(setting.nodes if revision % 2 else 1, revision)
    await case.until_taken_up()
    await case.until_ready(1)


async def older_revision(case: Case, _: Setting) -> None:
    """A demand that arrives late, behind a newer one, changes nothing."""
    await case.want(1, 5)
    first = await case.until_ready(1)
    await case.want(0, 4)
    await case.quiet(QUIET)
    _same_nodes(case, [node.name for node in first.nodes])


async def let_go(case: Case, _: Setting) -> None:
    """A demand of 0 while the node has hardly been asked for; it must be gone, and stay so."""
    await case.want(1)
    await case.until_taken_up()
    await case.let_go()
    await case.quiet(QUIET)
    if case.last is None or not case.last.released:
        raise Breach(Rule.RELEASED, f"after it was released, {case.last_words()}")


async def nothing_there(case: Case, _: Setting) -> None:
    """A demand of 0 for a workspace that was never served: nothing is left, and that is said."""
    await case.let_go(QUICKLY)


async def successor(case: Case, _: Setting) -> None:
    """Another workspace under the same name, whose revisions begin anew: it is served, and the old one's node goes."""
    await case.want(1, 5)
    await case.until_ready(1)
    case.succeed()
    await case.want(1, 1)
    await case.until_taken_up()
    await case.until_ready(1)


async def restart(case: Case, setting: Setting) -> None:
    """The provisioner goes and comes back in the middle: neither fewer nor more nodes."""
    await case.want(setting.nodes)
    await case.until_taken_up()
    if setting.restart is not None:
        await setting.restart()
    await case.until(Rule.CRASH, lambda r: is_ready(r, setting.nodes))


async def headers(case: Case, _: Setting) -> None:
    """Trace and CloudEvents headers: not a must, but the way is drawn from them."""
    await case.want(1)
    await case.until_taken_up()
    if missing := missing_headers(tuple(case.heard[-1].headers)):
        raise NotAsked(f"the reports carry no {', '.join(missing)}; the contract lets that be")


def _same_nodes(case: Case, names: list[str]) -> None:
    now = [node.name for node in case.last.nodes] if case.last else []
    if now != names:
        raise Breach(Rule.SAME_DEMAND, f"the nodes were {names}, and are {now}")


SCENARIOS: Final = (
    Scenario("offers", letters.offers, nodes=0),
    Scenario("create", create),
    Scenario("headers", headers),
    Scenario("scale up and down", scale, nodes=2),
    Scenario("same demand twice", same_demand),
    Scenario("newest wins", newest_wins),
    Scenario("older revision", older_revision),
    Scenario("let go at once", let_go),
    Scenario("nothing to let go", nothing_there, nodes=0),
    Scenario("another of the name", successor, nodes=2),
    Scenario("another provider", letters.another_provider, nodes=0),
    Scenario("malformed demand", letters.malformed),
    Scenario("restart in the middle", restart, restarts=True),
    Scenario("quota error", trouble.quota, fault=FaultName.QUOTA),
    Scenario("capacity error", trouble.capacity, fault=FaultName.CAPACITY),
    Scenario("not allowed", trouble.unauthorized, fault=FaultName.UNAUTHORIZED),
    Scenario("throttling", trouble.throttling, fault=FaultName.THROTTLING),
    Scenario("late success", trouble.late, fault=FaultName.LATE),
    Scenario("crash after the call", trouble.crash, fault=FaultName.CRASH),
    Scenario("lost node", trouble.vanish, fault=FaultName.VANISH),
)
"""Faults last: a provisioner may remember a refusal for minutes, for all who ask for that size."""

"""One workspace of the suite: what was demanded for it, and what the provisioner has said of it."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable
from typing import Final

from services.cli.conformance.checks import check, is_ready
from services.cli.conformance.faults import Fault
from services.cli.conformance.heard import Heard
from services.cli.conformance.outcome import Breach
from services.cli.conformance.rules import Rule
from services.cli.conformance.setting import run_shell
from services.cli.conformance.wire import Wire
from services.contracts.messages import Demand, Report
from services.contracts.subjects import CONFORMANCE

QUICKLY: Final = 5.0
"""Seconds within which anything new is reported."""


class Case:
    """A workspace that lives for one scenario. Every report on it is checked as it comes."""

    def __init__(self, wire: Wire, scenario: str, size: str, patience: float, fault: Fault | None = None) -> None:
        self.wire = wire
        self.patience = patience
        self.name = f"{scenario.replace(' ', '-')}-{uuid.uuid4().hex[:6]}"
        self.demands: list[Demand] = []
        self.heard: list[Heard] = []
        self._fault = fault or Fault()
        self._fault_stands = False
        self._size = self._fault.instance_type or size
        self._uid = str(uuid.uuid4())
        self._breach: Breach | None = None
        self._forgiven = False
        self._news = asyncio.Event()

    @property
    def key(self) -> tuple[str, str]:
        """Namespace and name."""
        return (CONFORMANCE, self.name)

    # -- towards the provisioner

    async def want(self, nodes: int, revision: int | None = None) -> Demand:
        """Publish a demand; without a revision with the next one."""
        number = revision if revision is not None else self._newest_revision() + 1
        wanted = Demand(
            namespace=CONFORMANCE,
            name=self.name,
            uid=self._uid,
            generation=1,
            plan_revision=number,
            provider=self.wire.provider,
            nodes=nodes,
            instance_type=self._size,
            labels={"kaito.sh/conformance": self.name},
            taints=("sku=gpu:NoSchedule",),
            parameters=self._fault.parameters,
        )
        self.demands.append(wanted)
        await self.wire.demand(wanted)
        return wanted

    async def begin_fault(self) -> None:
        """Run the command that brings the fault about. Raises `NotAsked` if it fails."""
        self._fault_stands = True
        if self._fault.before:
            await run_shell(self._fault.before)

    async def end_fault(self) -> None:
        """Run the command that ends it, unless that is done. Raises `NotAsked` if it fails."""
        stood, self._fault_stands = self._fault_stands, False
        if stood and self._fault.after:
            await run_shell(self._fault.after)

    async def repeat(self, wanted: Demand, again: int) -> None:
        """Publish the same once more."""
        await self.wire.demand(wanted, again=again)

    def succeed(self) -> None:
        """From now on it is another workspace under the same name, whose revisions begin anew."""
        self._uid = str(uuid.uuid4())

    def _newest_revision(self) -> int:
        return max((d.plan_revision for d in self.demands if d.uid == self._uid), default=0)

    def _on_the_newest(self, said: Report) -> bool:
        return said.uid == self._uid and said.plan_revision == self._newest_revision()

    # -- from the provisioner

    def hear(self, heard: Heard) -> None:
        """Take in a report. The first breach is kept, and raised to whoever waits."""
        if not self._forgiven:
            try:
                check(heard, self.demands, self.heard)
            except Breach as breach:
                self._breach = self._breach or breach
        self.heard.append(heard)
        self._news.set()

    @property
    def last(self) -> Report | None:
        """The newest report."""
        return self.heard[-1].report if self.heard else None

    async def until(self, rule: Rule, fits: Callable[[Report], object], seconds: float | None = None) -> Report:
        """Wait for a report; if it does not come in time, `rule` is breached. Raises `Breach`."""
        limit = self.patience if seconds is None else seconds
        try:
            async with asyncio.timeout(limit):
                while True:
                    self._raise()
                    if self.last and fits(self.last):
                        return self.last
                    await self._wait()
        except TimeoutError:
            raise Breach(rule, f"after {limit:g} s {self.last_words()}") from None

    async def until_taken_up(self) -> None:
        """Wait for the first report on the newest demand."""
        await self.until(Rule.QUICKLY, self._on_the_newest, QUICKLY)

    async def until_ready(self, nodes: int) -> Report:
        """Wait until so many nodes are ready for the newest demand."""
        return await self.until(Rule.CONDITIONS, lambda r: self._on_the_newest(r) and is_ready(r, nodes))

    async def quiet(self, seconds: float) -> None:
        """Go on listening for so long. Raises `Breach` for what must not be heard."""
        try:
            async with asyncio.timeout(seconds):
                while True:
                    self._raise()
                    await self._wait()
        except TimeoutError:
            self._raise()

    @property
    def is_held(self) -> bool:
        """Whether nodes were demanded, and it was not reported that they are gone."""
        return bool(self.demands) and not (self.last and self.last.released and self.demands[-1].nodes == 0)

    def forgive(self) -> None:
        """Check no more, and forget what was breached: all that is left is to clean up."""
        self._forgiven, self._breach = True, None

    async def let_go(self, seconds: float | None = None) -> None:
        """Demand 0, and wait until nothing is left. Raises `Breach`."""
        await self.want(0)
        await self.until(Rule.LET_GO, lambda r: self._on_the_newest(r) and r.released, seconds)

    def last_words(self) -> str:
        """The newest report, in short."""
        if self.last is None:
            return "nothing was reported"
        said = self.last
        ready = sum(node.ready for node in said.nodes)
        conditions = ", ".join(f"{c.type}={c.status} ({c.reason}: {c.message})" for c in said.conditions)
        failure = f"; failure {said.failure.code}: {said.failure.message}" if said.failure else ""
        text = f"planRevision {said.plan_revision}, {ready} of {len(said.nodes)} nodes ready, released={said.released}"
        return f"the newest report says: {text}; {conditions or 'no conditions'}{failure}"

    async def _wait(self) -> None:
        await self._news.wait()
        self._news.clear()

    def _raise(self) -> None:
        if self._breach:
            raise self._breach

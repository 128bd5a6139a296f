"""The suite as every provider of ours is put through it. A subclass brings the provider's cloud, and nothing else."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import ClassVar

import pytest

from deploy.local.controlplane import ControlPlane
from services.cli.conformance.faults import BUILT_IN, FaultName
from services.cli.conformance.outcome import Outcome
from services.cli.conformance.scenarios import SCENARIOS
from tests.conformance.permissions import kubeconfig
from tests.conformance.under_test import Place, Supervised
from tests.plane import Kubectl

Faults = Mapping[str, Mapping[str, object]]
"""A faults file."""


@dataclass
class Cloud:
    """A cloud that its provider is put before.

    `env` are the provider's settings, `faults` how the cloud is made to show each. `left` tells what is still there.
    `on_crash` is called by the cloud itself, between obeying and answering.
    """

    env: Mapping[str, str]
    faults: Faults
    left: Callable[[], Awaitable[list[str]]]
    process: list[Supervised] = field(default_factory=list)

    def kill(self) -> None:
        """End the provisioner the hard way."""
        self.process[0].kill()


@asynccontextmanager
async def meanwhile(*works: Coroutine[None, None, None]) -> AsyncIterator[None]:
    """What goes on behind the cloud, for as long as it is looked at."""
    tasks = [asyncio.create_task(work) for work in works]
    try:
        yield
    finally:
        broken = [task for task in tasks if task.done()]
        for task in tasks:
            task.cancel()
        for task in broken:
            task.result()  # raises: without it nobody would hear why the cloud stood still


class ProviderSuite:
    """Fixture `cloud` is the subclass's."""

    provider: ClassVar[str]
    page: ClassVar[str]
    """In docs/providers: the provisioner has the rights that stand there, and no others."""
    size: ClassVar[str | None] = None
    starts: ClassVar[int] = 3
    """Killed once by the suite, once between call and report."""
    pytestmark = pytest.mark.asyncio(loop_scope="session")

    async def test_it_keeps_to_the_contract_and_leaves_nothing_behind(
        self, place: Place, cloud: Cloud, control_plane: ControlPlane, kubectl: Kubectl
    ) -> None:
        config = await kubeconfig(self.page, self.provider, kubectl, control_plane.kubeconfig, place.folder)
        env = {"KAITOBUS_PROVIDER": self.provider, "KUBECONFIG": str(config)}
        process = await place.start(env={**env, **cloud.env})
        cloud.process.append(process)
        faults = place.folder / "faults.json"
        faults.write_text(json.dumps(cloud.faults))
        options = ("--instance-type", self.size) if self.size else ()
        code, results, printed = await place.conformance(
            self.provider, "--patience", "90", "--faults", str(faults), "--restart-command", process.restart_command,
            *options,
        )  # fmt: skip
        told = {r.scenario: r.outcome if r.outcome is not Outcome.NOT_ASKED else r.detail for r in results}
        assert told == self.expected(), printed + process.log()
        assert code == 0
        assert process.starts == self.starts
        assert await cloud.left() == []

    def expected(self) -> dict[str, str]:
        """All that the suite plays is passed; of what the provider cannot have it says why."""
        cannot = {name: fault.cannot for name, fault in BUILT_IN.get(self.provider, {}).items() if fault.cannot}
        return {s.name: (s.fault and cannot.get(FaultName(s.fault))) or Outcome.PASSED for s in SCENARIOS}

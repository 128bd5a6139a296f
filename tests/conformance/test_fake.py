"""The provider `fake`, with every fault that its cloud can be made to show."""

from __future__ import annotations

import json

import pytest

from deploy.local.controlplane import ControlPlane
from services.chassis.kube import NODES, KubeClient
from services.cli.conformance.faults import BUILT_IN
from services.cli.conformance.scenarios import SCENARIOS
from tests.conformance.under_test import Place

NOT_ASKED = ("scale up and down", "restart in the middle", "crash after the call")
pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_it_passes_all_scenarios_and_leaves_nothing(
    place: Place, control_plane: ControlPlane, installed: None
) -> None:
    kubeconfig = str(control_plane.kubeconfig)
    process = await place.start(
        KUBECONFIG=kubeconfig, KAITOBUS_PROVIDER="fake", KAITOBUS_FAKE_BOOT_SECONDS="0.5",
        KAITOBUS_FAKE_ALLOW_CRASH="true", KAITOBUS_COLLECT_SECONDS="1", KAITOBUS_GRACE_SECONDS="1",
        KAITOBUS_SETTLE_SECONDS="1",
    )  # fmt: skip
    faults = place.folder / "faults.json"
    built_in = {name: fault.to_dict() for name, fault in BUILT_IN["fake"].items()}
    faults.write_text(json.dumps(built_in | {"crash": {"parameters": {"crash-once": "true"}}}))
    code, outcomes, printed = await place.conformance(
        "fake", "--patience", "60", "--faults", str(faults), "--restart-command", process.restart_command
    )
    assert outcomes == {scenario.name: "passed" for scenario in SCENARIOS}, printed + process.log()
    assert code == 0
    assert process.starts == 3, "killed once by the suite, once by itself"
    async with await KubeClient.connect(kubeconfig) as kube:
        assert (await kube.list(NODES)).items == []


async def test_what_needs_a_restart_is_not_asked_without_one_and_never_counts_as_passed(
    place: Place, control_plane: ControlPlane, installed: None
) -> None:
    await place.start(
        KUBECONFIG=str(control_plane.kubeconfig), KAITOBUS_PROVIDER="fake", KAITOBUS_FAKE_BOOT_SECONDS="0.2"
    )
    code, outcomes, printed = await place.conformance(
        "fake", "--nodes", "1", *(o for name in NOT_ASKED for o in ("--only", name))
    )
    assert outcomes == dict.fromkeys(NOT_ASKED, "not asked"), printed
    assert code == 0

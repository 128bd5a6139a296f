"""The provider `fake`, with every fault that its cloud can be made to show."""

from __future__ import annotations

import pytest
import pytest_asyncio

from services.chassis.kube import KubeClient
from services.cli.conformance.outcome import Outcome
from tests.conformance.conftest import nodes_of
from tests.conformance.suite import Cloud, ProviderSuite
from tests.conformance.under_test import Place

NOT_ASKED = ("scale up and down", "restart in the middle", "crash after the call")


class TestFake(ProviderSuite):
    """The faults are the suite's own, but for the crash."""

    provider = "fake"
    page = "local-and-fake.md"

    @pytest_asyncio.fixture(loop_scope="session")
    async def cloud(self, kube: KubeClient) -> Cloud:
        env = {"KAITOBUS_FAKE_BOOT_SECONDS": "0.5", "KAITOBUS_FAKE_ALLOW_CRASH": "true"}
        faults = {"crash": {"parameters": {"crash-once": "true"}}}
        return Cloud(env, faults, lambda: nodes_of(kube, "fake"))


@pytest.mark.asyncio(loop_scope="session")
async def test_what_needs_a_restart_is_not_asked_without_one_and_never_counts_as_passed(
    place: Place, kube: KubeClient
) -> None:
    await place.start(env={"KAITOBUS_PROVIDER": "fake", "KAITOBUS_FAKE_BOOT_SECONDS": "0.2"})
    code, results, printed = await place.conformance(
        "fake", "--nodes", "1", *(o for name in NOT_ASKED for o in ("--only", name))
    )
    assert {r.scenario: r.outcome for r in results} == dict.fromkeys(NOT_ASKED, Outcome.NOT_ASKED), printed
    assert all(r.detail for r in results)
    assert code == 0

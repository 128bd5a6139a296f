"""Kill -9 any service at any point, and start it again: all converges, nothing is done twice, nothing leaks."""

import pytest

from tests.chaos.cast import Cast, Moment, manifest
from tests.stack import SERVICES, Stack

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest.mark.parametrize("moment", [Moment.APPLIED, Moment.PLANNED, Moment.BOOTING])
@pytest.mark.parametrize("service", SERVICES)
async def test_a_service_is_killed_on_the_way_and_started_again(
    stack: Stack, cast: Cast, service: str, moment: Moment
) -> None:
    await cast.create(manifest("a"), manifest("b"))
    await cast.reach(moment, "a")
    await stack.kill(f"{service}-1")
    stack.launch(f"{service}-1")
    await cast.all_converge("a", "b")


@pytest.mark.parametrize("service", SERVICES)
async def test_a_service_is_killed_while_a_workspace_is_taken_down(stack: Stack, cast: Cast, service: str) -> None:
    await cast.create(manifest("a"), manifest("b"))
    await cast.reach(Moment.READY, "a", "b")
    await cast.delete("a", "b")
    await stack.kill(f"{service}-1")
    stack.launch(f"{service}-1")
    await cast.nothing_is_left()

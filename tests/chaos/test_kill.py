"""Kill -9 any service at any point, and start it again: all converges, nothing is done twice, nothing leaks."""

import pytest

from tests.chaos.cast import Cast, Moment, manifest
from tests.stack import SERVICES, Stack

pytestmark = pytest.mark.asyncio(loop_scope="session")

ON_THE_WAY = (Moment.APPLIED, Moment.PLANNED, Moment.BOOTING)


@pytest.mark.parametrize("service", SERVICES)
async def test_a_service_is_killed_at_every_point_and_started_again(stack: Stack, cast: Cast, service: str) -> None:
    for moment in ON_THE_WAY:
        await cast.create(manifest(f"{moment}-a"), manifest(f"{moment}-b"))
        await cast.reach(moment, f"{moment}-a")
        await stack.kill(f"{service}-1")
        stack.launch(f"{service}-1")
    await cast.all_converge(*(f"{moment}-{which}" for moment in ON_THE_WAY for which in "ab"))

    await cast.delete_all()
    await stack.kill(f"{service}-1")
    stack.launch(f"{service}-1")
    await cast.nothing_is_left()


async def test_services_are_killed_in_turn_while_many_workspaces_arrive(stack: Stack, cast: Cast) -> None:
    names = [f"many-{number}" for number in range(8)]
    for number, name in enumerate(names):
        await cast.create(manifest(name))
        service = SERVICES[number % len(SERVICES)]
        await stack.kill(f"{service}-1")
        stack.launch(f"{service}-1")
    await cast.all_converge(*names)

"""Each service starts alone, in any order and number, before or after what it needs."""

import pytest

from tests.chaos.cast import Cast, Moment, manifest
from tests.stack import NATS, SERVICES, Stack

pytestmark = pytest.mark.asyncio(loop_scope="session")

ONE_EACH = tuple(f"{name}-1" for name in SERVICES)
ANOTHER = tuple(f"{name}-2" for name in SERVICES)
API_SERVER = "kube-apiserver"


async def test_services_start_before_nats_and_the_api_server_do(stack: Stack, cast: Cast) -> None:
    await cast.create(manifest("a"))
    await stack.end(*ONE_EACH, NATS)
    await stack.plane.stop_one(API_SERVER)
    stack.launch(*reversed(ONE_EACH))
    stack.launch(NATS)
    await stack.plane.start()
    await stack.ready(*ONE_EACH)
    await cast.create(manifest("b"))
    await cast.all_converge("a", "b")


async def test_the_watcher_starts_last_and_the_deployer_first(stack: Stack, cast: Cast) -> None:
    await stack.end(*ONE_EACH)
    await cast.create(manifest("a"))
    for name in ("deployer-1", "provisioner-fake-1", "scheduler-1", "watcher-1"):
        stack.launch(name)
    await cast.all_converge("a")


async def test_the_api_server_is_restarted_on_the_way(stack: Stack, cast: Cast) -> None:
    await cast.create(manifest("ready"))
    await cast.reach(Moment.READY, "ready")
    await cast.create(manifest("booting", boot_seconds="2"))
    await cast.reach(Moment.BOOTING, "booting")
    await cast.create(manifest("planned"))
    await cast.reach(Moment.PLANNED, "planned")
    await stack.plane.restart(API_SERVER)
    await cast.all_converge("ready", "booting", "planned")


async def test_two_of_each_service_do_the_work_of_one(stack: Stack, cast: Cast) -> None:
    await stack.start(*ANOTHER)
    names = [f"w-{number}" for number in range(5)]
    await cast.create(*map(manifest, names))
    await cast.all_converge(*names)
    await stack.kill(*ONE_EACH)
    await cast.create(manifest("later"))
    await cast.all_converge("later")
    await cast.delete_all()
    stack.launch(*ONE_EACH)
    await cast.nothing_is_left()
    await stack.end(*ANOTHER)

"""What happens to NATS happens to no workspace: Kubernetes holds the truth, the bus only carries it."""

import asyncio

import pytest

from services.chassis.drop import drop_all
from services.contracts.messages import Demand, PlanState, Report, WorkspaceState
from services.contracts.subjects import ServiceName, Stream
from tests.chaos.cast import Cast, Moment, manifest
from tests.stack import NATS, Stack, until

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_nats_is_killed_on_the_way_and_started_again(stack: Stack, cast: Cast) -> None:
    for moment in (Moment.APPLIED, Moment.PLANNED, Moment.BOOTING):
        await cast.create(manifest(f"{moment}"))
        await cast.reach(moment, f"{moment}")
        await stack.kill(NATS)
        await stack.start(NATS)
    await cast.all_converge(Moment.APPLIED, Moment.PLANNED, Moment.BOOTING)


async def test_nats_loses_all_it_has_with_a_dozen_on_the_way_and_some_being_deleted(stack: Stack, cast: Cast) -> None:
    leaving = [f"leaving-{number}" for number in range(3)]
    coming = [f"coming-{number}" for number in range(12)]
    await cast.create(*map(manifest, leaving))
    await cast.reach(Moment.READY, *leaving)
    await cast.create(*map(manifest, coming))
    await cast.delete(*leaving)
    await cast.reach(Moment.PLANNED, coming[0])
    await stack.end(NATS)
    stack.wipe_nats()
    await stack.start(NATS)
    await cast.all_converge(*coming)
    for name in leaving:
        await until(lambda name=name: _is_gone(cast, name), what=f"the end of {name}")  # type: ignore[misc]


async def _is_gone(cast: Cast, name: str) -> bool:
    return await cast.stack.workspace(name, cast.namespace) is None


async def test_nats_loses_all_it_has_while_nothing_happens(stack: Stack, cast: Cast) -> None:
    await cast.create(manifest("a"))
    await cast.all_converge("a")
    await stack.kill(NATS)
    stack.wipe_nats()
    await stack.start(NATS)
    await cast.create(manifest("b"))
    await cast.all_converge("a", "b")


DURABLES = {
    "scheduler-workspaces": Stream.WORKSPACES,
    "deployer-plans": Stream.PLANS,
    "provisioner-fake": Stream.DEMANDS,
    "watcher-reports": Stream.REPORTS,
}


async def test_durables_are_deleted_and_come_back(stack: Stack, cast: Cast) -> None:
    async with stack.jetstream() as js:
        for durable, stream in DURABLES.items():
            await js.delete_consumer(stream, durable)
    await cast.create(manifest("a"))
    await cast.all_converge("a")


def poison(namespace: str) -> dict[str, bytes]:
    """A message that nobody can read on each kind of subject: no JSON, or fields that are not there."""
    return {
        f"kaito.workspace.{namespace}.poison": b"not JSON",
        f"kaito.plan.{namespace}.poison": b'{"name": 1}',
        f"kaito.demand.fake.{namespace}.poison": b"{}",
        f"kaito.report.deployer.{namespace}.poison": b"\x00\xff",
    }


READERS = {
    WorkspaceState: ["scheduler"],
    PlanState: ["deployer"],
    Demand: ["provisioner"],
    Report: ["scheduler", "watcher"],
}
"""Who reads each kind of message, and so puts an unreadable one aside."""


async def test_poison_on_every_subject_is_put_aside_with_its_error_and_the_rest_goes_on(
    stack: Stack, cast: Cast
) -> None:
    wanted = {
        f"kaito.dlq.{reader}.{subject}"
        for subject, readers in zip(poison(cast.namespace), READERS.values(), strict=True)
        for reader in readers
    }
    async with stack.client() as client:
        js = client.jetstream(timeout=5)
        for subject, body in poison(cast.namespace).items():
            await js.publish(subject, body, stream=Stream.HISTORY)
        await cast.create(manifest("a"))
        await cast.all_converge("a")

        async def put_aside() -> bool:
            info = await js.stream_info(Stream.DLQ, subjects_filter=f"kaito.dlq.*.kaito.*.{cast.namespace}.poison")
            more = await js.stream_info(Stream.DLQ, subjects_filter=f"kaito.dlq.*.kaito.*.*.{cast.namespace}.poison")
            return {*(info.state.subjects or ()), *(more.state.subjects or ())} == wanted

        await until(put_aside, what="all poison in the DLQ")
        for subject in wanted:
            letter = await js.get_last_msg(Stream.DLQ, subject)
            assert letter.headers
            assert letter.headers["Kaito-Error"]
            assert subject.endswith(letter.headers["Kaito-Original-Subject"])
        await asyncio.gather(*(drop_all(client, stream, f"kaito.*.{cast.namespace}.poison") for stream in _NEWEST))
        await asyncio.gather(*(drop_all(client, stream, f"kaito.*.*.{cast.namespace}.poison") for stream in _NEWEST))


_NEWEST = (Stream.WORKSPACES, Stream.PLANS, Stream.DEMANDS, Stream.REPORTS)


async def test_poison_in_the_place_of_a_workspaces_own_messages_is_written_over(stack: Stack, cast: Cast) -> None:
    async with stack.jetstream() as js:
        for subject in (
            f"kaito.workspace.{cast.namespace}.a",
            f"kaito.plan.{cast.namespace}.a",
            f"kaito.demand.fake.{cast.namespace}.a",
            f"kaito.report.{ServiceName.DEPLOYER}.{cast.namespace}.a",
            f"kaito.report.{ServiceName.SCHEDULER}.{cast.namespace}.a",
            f"kaito.report.{ServiceName.PROVISIONER}-fake.{cast.namespace}.a",
        ):
            await js.publish(subject, b"not JSON", stream=Stream.HISTORY)
    await cast.create(manifest("a"))
    await cast.all_converge("a")

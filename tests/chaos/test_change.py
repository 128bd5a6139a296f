"""Users change their mind at any moment: they delete, create anew, edit."""

import asyncio
import json

import pytest

from services.chassis.kube import WORKSPACES, KubeClient, ObjectRef
from tests.chaos.cast import Cast, Moment, manifest
from tests.stack import Stack, until

pytestmark = pytest.mark.asyncio(loop_scope="session")

DOZEN = [f"w{number}" for number in range(12)]


async def test_a_workspace_is_deleted_in_every_phase_and_leaves_nothing(cast: Cast) -> None:
    async def pass_by(moment: Moment) -> None:
        await cast.create(manifest(moment))
        await cast.reach(moment, moment)
        await cast.delete(moment)

    await asyncio.gather(*map(pass_by, Moment))
    await cast.nothing_is_left()


async def test_a_workspace_is_created_anew_at_once_under_the_same_name_in_every_phase(cast: Cast) -> None:
    async def come_back(moment: Moment) -> None:
        await cast.create(manifest(moment))
        await cast.reach(moment, moment)
        before = await cast.uid(moment)
        await cast.delete(moment)
        await until(lambda: _created_anew(cast, moment, before), what=f"room for another {moment}")

    await asyncio.gather(*map(come_back, Moment))
    await cast.all_converge(*Moment)


async def _created_anew(cast: Cast, name: str, before: str) -> bool:
    """Create it as soon as the earlier one has gone; it may be there by an unheard answer."""
    uid = await cast.uid(name)
    if not uid:
        await cast.create(manifest(name))
    return uid != before


async def test_a_dozen_that_are_deleted_while_they_are_planned_leave_nothing(cast: Cast) -> None:
    await cast.create(*(manifest(name) for name in DOZEN))
    await until(cast.some_are_deployed, what="the first workload")
    await cast.delete(*DOZEN)
    await cast.nothing_is_left()


async def test_a_dozen_that_are_replaced_while_they_are_planned_converge(cast: Cast) -> None:
    async def replace(name: str) -> None:
        before = await cast.uid(name)
        await cast.delete(name)
        await until(lambda: _created_anew(cast, name, before), what=f"room for another {name}")

    await cast.create(*(manifest(name) for name in DOZEN))
    await until(cast.some_are_deployed, what="the first workload")
    await asyncio.gather(*map(replace, DOZEN))
    await cast.all_converge(*DOZEN)


async def test_a_finalizer_taken_away_by_force_leaks_nothing(stack: Stack, cast: Cast) -> None:
    await cast.create(manifest("a"))
    await cast.reach(Moment.BOOTING, "a")
    await cast.delete("a")
    await _force(stack.kube, cast.namespace, "a")
    await cast.nothing_is_left()


async def _force(kube: KubeClient, namespace: str, name: str) -> None:
    await kube.merge_patch(ObjectRef(WORKSPACES, name, namespace), {"metadata": {"finalizers": None}})


async def test_an_edit_on_the_way_is_planned_anew_and_the_status_never_goes_back(stack: Stack, cast: Cast) -> None:
    await cast.create(manifest("a", instance_type=None))
    await cast.reach(Moment.PLANNED, "a")
    before = (await stack.workspace("a", cast.namespace) or {})["metadata"]
    assert isinstance(before, dict)
    change = {"resource": {"count": 2}, "metadata": {"annotations": {"fake.kaito.sh/boot-seconds": "1"}}}
    await stack.kubectl("-n", cast.namespace, "patch", "wk", "a", "--type=merge", "-p", json.dumps(change))

    async def observed() -> bool:
        status = await cast.status("a")
        return status.observed_generation > before["generation"] and bool(status.plan and status.plan.revision == 2)

    await until(observed, what="the second plan")
    await cast.all_converge("a", revision=2)

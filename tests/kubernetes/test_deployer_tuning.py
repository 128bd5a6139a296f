"""The deployer and a Job that tunes, on a real API server with its real Job controller."""

from __future__ import annotations

import json

import pytest

from services.chassis.kube import JOBS, JsonObject, ObjectRef, dig, dig_str
from services.contracts.conditions import Reason
from services.contracts.plan import Plan
from services.deployer.app import wire
from services.deployer.job_end import is_complete
from tests.integration.conftest import NatsServer
from tests.kubernetes.deployer_fixtures import Planner, node, planner, set_pod
from tests.kubernetes.service_fixtures import bus, client, crd, eventually, namespace, nats_server, running
from tests.unit.test_deployer_tuning import tuned

__all__ = ["bus", "client", "crd", "namespace", "nats_server", "node", "planner"]

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.usefixtures("crd")]

RUNNING: JsonObject = {"running": {"startedAt": "2026-01-01T00:00:00Z"}}


def made(revision: int = 1, **more: object) -> Plan:
    return tuned(gpus=0).model_copy(update={"revision": revision, **more})


async def job(planner: Planner) -> JsonObject | None:
    return await planner.client.get(ObjectRef(JOBS, "w", planner.namespace))


async def pod_name(planner: Planner) -> str | None:
    pods = await planner.pods()
    return dig_str(pods[0], "metadata", "name") if pods else None


async def completed(planner: Planner) -> bool:
    return is_complete(await job(planner))


async def container(planner: Planner, state: JsonObject, phase: str = "Running") -> None:
    """What the node says of the one container."""
    name = await eventually(lambda: pod_name(planner))
    assert name is not None
    status: JsonObject = {
        "name": "tuning",
        "image": "i",
        "imageID": "i",
        "ready": False,
        "restartCount": 0,
        "state": state,
    }
    await set_pod(planner, name, {"phase": phase, "containerStatuses": [status]})


def ended(code: int, message: str) -> JsonObject:
    return {"terminated": {"exitCode": code, "message": message, "reason": "Error" if code else "Completed"}}


async def test_a_plan_becomes_a_job_which_is_followed_to_its_result(
    planner: Planner, nats_server: NatsServer, node: str
) -> None:
    async with running("deployer", wire, nats_server):
        await planner.publish(made())
        await eventually(lambda: planner.reported(Reason.JOB_PENDING))
        assert await planner.stateful_set() is None
        await container(planner, RUNNING)
        await eventually(lambda: planner.reported(Reason.JOB_RUNNING))
        result = json.dumps({"step": 9, "steps": 9, "digest": "sha256:ab", "reference": "r/a@sha256:ab"})
        await container(planner, ended(0, result), "Succeeded")
        report = await eventually(lambda: planner.reported(Reason.JOB_SUCCEEDED))
        assert report is not None
        assert report.tuning is not None
        assert report.tuning.adapter_digest == "sha256:ab"
        await eventually(lambda: completed(planner))
        uid = dig_str(await job(planner), "metadata", "uid")
        await planner.publish(
            made(2, node_labels={"apps": "else"})
        )  # as when its nodes have gone: it is done all the same

        async def told_of_it() -> bool:
            told = await planner.reported(Reason.JOB_SUCCEEDED)
            return told is not None and told.plan_revision == 2

        await eventually(told_of_it)
        assert dig_str(await job(planner), "metadata", "uid") == uid


async def test_bad_input_ends_the_job_and_its_words_outlive_the_pod(
    planner: Planner, nats_server: NatsServer, node: str
) -> None:
    async with running("deployer", wire, nats_server):
        await planner.publish(made())
        await container(planner, ended(65, "train.csv is not UTF-8."))
        report = await eventually(lambda: planner.reported(Reason.JOB_FAILED))
        assert report is not None
        assert "train.csv is not UTF-8." in report.conditions[1].message

        async def is_over() -> bool:
            found = await job(planner)
            return dig(found, "status", "conditions", 0, "type") == "Failed"

        await eventually(is_over)
        assert dig(await job(planner), "spec", "activeDeadlineSeconds") == 1
        again = await eventually(lambda: planner.reported(Reason.JOB_FAILED))
        assert again is not None
        assert "train.csv is not UTF-8." in again.conditions[1].message


async def test_only_other_settings_make_the_job_anew(planner: Planner, nats_server: NatsServer) -> None:
    async with running("deployer", wire, nats_server):
        await planner.publish(made())
        first = await eventually(lambda: job(planner))
        await planner.publish(made(2, cost_per_hour=9.0))
        uid = dig_str(first, "metadata", "uid")
        tuning = made().tuning
        assert tuning is not None
        await planner.publish(made(3, tuning=tuning.model_copy(update={"config": {"LoraConfig": {"r": 2}}})))

        async def is_another() -> bool:
            found = await job(planner)
            return found is not None and dig_str(found, "metadata", "uid") != uid

        await eventually(is_another)


async def test_a_retired_plan_takes_the_job_with_it(planner: Planner, nats_server: NatsServer) -> None:
    async with running("deployer", wire, nats_server):
        await planner.publish(made())
        await eventually(lambda: job(planner))
        await planner.publish(made(), retired=True)
        await eventually(planner.released)
        assert await job(planner) is None


async def test_a_plan_of_a_version_that_did_not_tune_is_told_once_and_does_no_harm(
    planner: Planner, nats_server: NatsServer
) -> None:
    async with running("deployer", wire, nats_server):
        await planner.publish(made(tuning=None))
        report = await eventually(lambda: planner.reported(Reason.WORKLOAD_REFUSED))
        assert report is not None
        assert "of an earlier version" in report.conditions[0].message
        assert await job(planner) is None
        await planner.publish(made(2))
        await eventually(lambda: job(planner))

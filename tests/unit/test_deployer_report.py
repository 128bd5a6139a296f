"""What the deployer says of pods: why one does not start, what happens next, when each step was passed."""

from __future__ import annotations

from datetime import timedelta

import pytest

from services.chassis.kube import JsonObject
from services.contracts.conditions import ConditionStatus, ConditionType, Reason
from services.contracts.messages import Report
from services.contracts.plan import Workload
from services.deployer.adapter_states import AdapterPhase, AdapterState, AdapterStates
from services.deployer.diagnose import diagnose
from services.deployer.phases import phases
from services.deployer.pods import Pod
from services.deployer.report import Observed, is_whole, not_whole, refused, released, serving, to_report
from tests.unit.samples import NOW, UID, plan, plan_state, pod, stamp
from tests.unit.test_deployer_tuning import tuned


def status(**of: object) -> JsonObject:
    return {"containerStatuses": [{"name": "inference", **of}]}


def waiting(reason: str, message: str = "", **of: object) -> JsonObject:
    return status(state={"waiting": {"reason": reason, "message": message}}, **of)


def ended(code: int, reason: str = "Error", message: str = "") -> JsonObject:
    return {"terminated": {"exitCode": code, "reason": reason, "message": message}}


PULL = pod(status=waiting("ErrImagePull", "manifest unknown"))
START = pod(status=waiting("CreateContainerConfigError", 'secret "hf" not found'))
CRASH = pod(status=waiting("CrashLoopBackOff", restartCount=3, lastState=ended(1, message="No module named x")))
OOM = pod(status=waiting("CrashLoopBackOff", restartCount=2, lastState=ended(137, "OOMKilled")))
EVICTED = pod(status={"reason": "Evicted", "message": "The node was low on resource: ephemeral-storage."})
HOMELESS = pod(node=None)


class TestDiagnosis:
    """Why a pod is not ready, in the words of Kubernetes and the engine."""

    @pytest.mark.parametrize(
        ("found", "reason", "words"),
        [
            (HOMELESS, Reason.INFERENCE_PENDING_NODES, "Pod w-0 waits for its node: 0/3 nodes are available"),
            (PULL, Reason.IMAGE_PULL_ERROR, "the image cannot be pulled: manifest unknown"),
            (pod(status=waiting("ImagePullBackOff")), Reason.IMAGE_PULL_ERROR, "ImagePullBackOff"),
            (START, Reason.CONTAINER_START_ERROR, 'secret "hf" not found'),
            (CRASH, Reason.CONTAINER_CRASH_LOOP, "exit code 1 (3 restarts). No module named x"),
            (pod(status=status(state=ended(2))), Reason.CONTAINER_CRASH_LOOP, "exit code 2"),
            (OOM, Reason.CONTAINER_OOM_KILLED, "ran out of memory and was killed (2 restarts)."),
            (EVICTED, Reason.POD_EVICTED, "ephemeral-storage"),
            (pod(), Reason.INFERENCE_PENDING, "The model is being loaded: 0 of 1 pods ready."),
        ],
        ids=["node", "pull", "back off", "start", "crash", "ended", "oom", "evicted", "loading"],
    )
    def test_each_kind(self, found: Pod, reason: Reason, words: str) -> None:
        diagnosis = diagnose([found], 1)
        assert diagnosis.reason is reason
        assert words in diagnosis.message
        assert diagnosis.next_step

    def test_pods_that_are_not_there_yet(self) -> None:
        assert diagnose([], 2).message == "0 of 2 pods have been created."

    def test_pods_that_kubernetes_refuses_to_create(self) -> None:
        diagnosis = diagnose([HOMELESS], 2, "exceeded quota: gpus")
        assert diagnosis.reason is Reason.WORKLOAD_REFUSED
        assert diagnosis.message == "1 of 2 pods have been created. Kubernetes refuses the next: exceeded quota: gpus"

    def test_a_refusal_of_before_is_nothing_once_the_pods_are_there(self) -> None:
        assert diagnose([HOMELESS], 1, "exceeded quota").reason is Reason.INFERENCE_PENDING_NODES

    def test_the_gravest_of_several_pods_is_told(self) -> None:
        pods = [HOMELESS, EVICTED, PULL, START, CRASH, OOM]
        expected = [
            Reason.CONTAINER_OOM_KILLED,
            Reason.CONTAINER_CRASH_LOOP,
            Reason.CONTAINER_START_ERROR,
            Reason.IMAGE_PULL_ERROR,
            Reason.POD_EVICTED,
            Reason.INFERENCE_PENDING_NODES,
        ]
        told = []
        while pods:
            told.append(diagnose(pods, 6).reason)
            pods.pop()
        assert told == expected

    def test_the_order_of_pods_does_not_matter(self) -> None:
        one, two = pod("w-0", status=waiting("ErrImagePull", "a")), pod("w-1", status=waiting("ErrImagePull", "b"))
        assert diagnose([one, two], 2) == diagnose([two, one], 2)

    def test_an_init_container_that_is_done_is_nothing_bad(self) -> None:
        done: JsonObject = {"initContainerStatuses": [{"name": "init", "ready": True, "state": ended(0, "Completed")}]}
        assert diagnose([pod(status=done)], 1).reason is Reason.INFERENCE_PENDING

    def test_an_init_container_that_fails_is(self) -> None:
        failed: JsonObject = {"initContainerStatuses": [{"name": "init", "state": ended(1)}]}
        assert "Container init of pod w-0 ended with exit code 1" in diagnose([pod(status=failed)], 1).message

    def test_what_crashed_once_and_serves_again_is_well(self) -> None:
        recovered = pod(ready=True, status=status(ready=True, restartCount=1, lastState=ended(1)))
        assert diagnose([recovered], 2).reason is Reason.INFERENCE_PENDING

    def test_how_a_pod_ends_that_was_told_to_is_no_fault(self) -> None:
        ending = pod(status=status(state=ended(143)), going=True)
        diagnosis = diagnose([ending], 1)
        assert (diagnosis.reason, diagnosis.crashed) == (Reason.INFERENCE_PENDING, None)
        assert diagnosis.message == "0 of 1 pods have been created. Still being ended: w-0."
        assert diagnose([ending, PULL], 1).reason is Reason.IMAGE_PULL_ERROR

    def test_only_of_a_crash_the_last_words_are_wanted(self) -> None:
        assert diagnose([CRASH], 1).crashed == "w-0"
        assert diagnose([PULL], 1).crashed is None


class TestPhases:
    """The steps of a start with the times that Kubernetes recorded, which are whole seconds."""

    RUNNING = status(state={"running": {"startedAt": stamp(10)}})

    def of(self, found: Pod) -> list[tuple[str, float, float | None]]:
        return [
            (
                p.name.removeprefix("pod w-0 "),
                (p.started_at - NOW).total_seconds(),
                (p.finished_at - NOW).total_seconds() if p.finished_at else None,
            )
            for p in phases([found])
        ]

    def test_a_pod_without_a_node(self) -> None:
        assert self.of(HOMELESS) == [("waits for its node", 0, None)]

    def test_a_pod_that_is_prepared(self) -> None:
        assert self.of(pod()) == [("waits for its node", 0, 2), ("pulls and prepares", 2, None)]

    def test_a_pod_that_loads(self) -> None:
        assert self.of(pod(status=self.RUNNING)) == [
            ("waits for its node", 0, 2),
            ("pulls and prepares", 2, 10),
            ("loads the model, first token", 10, None),
        ]

    def test_a_pod_that_serves(self) -> None:
        assert self.of(pod(ready=True, status=self.RUNNING))[-1] == ("loads the model, first token", 10, 30)

    def test_no_step_ends_before_it_began(self) -> None:
        late = status(state={"running": {"startedAt": stamp(31)}})
        assert self.of(pod(ready=True, status=late))[-1] == ("loads the model, first token", 31, 31)
        for phase in phases([pod(ready=True, status=late)]):
            assert phase.finished_at is not None
            assert phase.finished_at - phase.started_at >= timedelta(0)


def inference(report: Report) -> tuple[ConditionStatus, str, str]:
    (condition,) = [c for c in report.conditions if c.type is ConditionType.INFERENCE_READY]
    return condition.status, condition.reason, condition.message


class TestReport:
    """The message."""

    READY = Observed(pods=(pod(ready=True),))

    def test_it_belongs_to_the_plan(self) -> None:
        found = to_report(plan_state(plan(3), generation=2), self.READY)
        assert (found.uid, found.generation, found.plan_revision) == (UID, 2, 3)

    def test_a_model_that_serves_has_an_endpoint(self) -> None:
        found = to_report(plan_state(), self.READY)
        assert found.endpoint == "http://w.team.svc.cluster.local"
        assert inference(found)[0] is ConditionStatus.TRUE
        assert found.next_step is None

    def test_a_model_that_does_not_has_none_and_says_why_and_what_next(self) -> None:
        found = to_report(plan_state(), Observed(pods=(CRASH,), crash_log="ValueError: no such model"))
        assert found.endpoint is None
        assert inference(found)[1] == Reason.CONTAINER_CRASH_LOOP
        assert inference(found)[2].endswith("Its last words: ValueError: no such model")
        assert found.next_step

    def test_as_many_pods_as_planned_must_be_ready_and_none_on_its_way_out(self) -> None:
        one = pod(ready=True)
        going = one.model_copy(update={"metadata": one.metadata.model_copy(update={"deletion_timestamp": NOW})})
        assert serving(plan_state(plan(nodes=2)), [one, one])
        assert not serving(plan_state(plan(nodes=2)), [one])
        assert not serving(plan_state(), [going])

    def test_a_simulated_model_says_so_in_every_state_and_has_no_endpoint(self) -> None:
        for observed in (self.READY, Observed(), Observed(pods=(HOMELESS,))):
            found = to_report(plan_state(plan(simulated=True)), observed)
            assert found.endpoint is None
            assert inference(found)[2].startswith("Simulated: ")

    def test_a_bad_adapter_takes_neither_endpoint_nor_readiness_from_the_model(self) -> None:
        state = plan_state(plan(adapters=("a", "b")))
        told = AdapterStates(adapters=(AdapterState(name="a", state=AdapterPhase.FAILED, reason="It is bad."),))
        found = to_report(state, self.READY.model_copy(update={"adapters": told}))
        (adapters,) = [c for c in found.conditions if c.type is ConditionType.ADAPTERS_READY]
        assert "a is not loaded: It is bad." in adapters.message
        assert inference(found)[0] is ConditionStatus.TRUE
        assert found.endpoint

    def test_what_the_api_server_refuses_is_told_in_its_words(self) -> None:
        found = refused(plan_state(), 'Service "w" is invalid: spec.ports')
        assert inference(found)[1:] == (
            Reason.WORKLOAD_REFUSED,
            'Kubernetes refuses the workload: Service "w" is invalid: spec.ports',
        )

    def test_when_nothing_is_left_it_is_released(self) -> None:
        found = released(plan_state(retired=True))
        assert found.released
        assert found.endpoint is None

    def test_the_same_pods_give_the_same_report(self) -> None:
        assert to_report(plan_state(), self.READY).message_id == to_report(plan_state(), self.READY).message_id


class TestAnOldPlan:
    """Of a version that did not tune yet, for instance."""

    def test_a_plan_that_says_all_is_whole(self) -> None:
        own = plan(workload=Workload.TEMPLATE, template={"spec": {}})
        assert all(is_whole(made) for made in (plan(), tuned(), own))

    def test_one_that_does_not_say_how_is_tuned_is_told_where_to_look(self) -> None:
        old = tuned(tuning=None)
        assert not is_whole(old)
        found = not_whole(plan_state(old))
        (condition,) = found.conditions
        assert (condition.type, condition.reason) == (ConditionType.JOB_STARTED, Reason.WORKLOAD_REFUSED)
        assert "of an earlier version of Kaito Bus" in condition.message
        assert "PlanReady" in (found.next_step or "")

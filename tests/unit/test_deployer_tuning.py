"""The Job of a plan that tunes, and what is reported of it."""

from __future__ import annotations

import json

import pytest

from services.chassis.kube import JsonObject, dig, dig_dict, dig_dicts, dig_list
from services.contracts.conditions import ConditionStatus, ConditionType, Reason
from services.contracts.messages import PlanState
from services.contracts.model_source import ModelSource
from services.contracts.plan import Plan, PodResources, Workload
from services.contracts.tuning import PlannedTuning, TuningMemory, TuningProgress
from services.contracts.workspace import DataDestination, DataSource
from services.deployer.manifests import Images
from services.deployer.pods import Pod
from services.deployer.report import tuning_report
from services.deployer.tuning_digest import fits
from services.deployer.tuning_job import render_job
from services.deployer.tuning_report import FAILURE, RESULT, TuningSeen, pods_of, read_result, seen_of
from services.inference.tuning.options import parse
from tests.unit.samples import plan, plan_state, pod

MEMORY = TuningMemory(weights_gib=7.2, adapter_gib=0.1, activation_gib=3, overhead_gib=1.2, total_gib=70)
URLS = DataSource(urls=("https://data.example.com/a.parquet?key=$(SECRET)",))
IMAGE = DataSource(image="registry.example.com/data:1", image_pull_secrets=("pull",))
TO_IMAGE = DataDestination(image="registry.example.com/adapter:1", image_push_secret="push")
TO_VOLUME = DataDestination(volume_source={"persistentVolumeClaim": {"claimName": "adapters"}})
IMAGES = Images("registry.example.com/inference:1")


def tuned(source: DataSource = URLS, output: DataDestination = TO_IMAGE, gpus: int = 1, **more: object) -> Plan:
    tuning = PlannedTuning(method="qlora", config={"LoraConfig": {"r": 4}}, input=source, output=output, memory=MEMORY)
    made = plan(workload=Workload.TUNING)
    update = {"tuning": tuning, "engine": None, "prediction": None, "pod": PodResources(gpus=gpus), **more}
    return made.model_copy(update=update)


def job(made: Plan, images: Images = IMAGES) -> JsonObject:
    return render_job(plan_state(made), images)


def pod_spec(made: Plan) -> JsonObject:
    return dig_dict(job(made), "spec", "template", "spec")


def container(made: Plan) -> JsonObject:
    return dig_dicts(pod_spec(made), "containers")[0]


def arguments(made: Plan) -> list[str]:
    return [str(word) for word in dig_list(container(made), "args")]


class TestJob:
    """What is given to Kubernetes."""

    def test_its_pod_is_kept_when_the_container_ends_so_that_the_checkpoints_are(self) -> None:
        spec = pod_spec(tuned())
        assert spec["restartPolicy"] == "OnFailure"
        assert spec["automountServiceAccountToken"] is False
        assert {"name": "work", "emptyDir": {}} in dig_dicts(spec, "volumes")
        assert dig(job(tuned()), "spec", "backoffLimit") == 6

    def test_it_runs_on_the_plans_nodes_with_their_gpus(self) -> None:
        spec = pod_spec(tuned(gpus=2))
        assert "kaito.sh/workspace" in json.dumps(spec["affinity"])
        assert dig(container(tuned(gpus=2)), "resources", "limits", "nvidia.com/gpu") == "2"

    def test_the_pods_command_line_can_be_read_by_the_pod(self) -> None:
        found = parse(arguments(tuned(gpus=4)))
        assert (found.model, found.method, found.processes) == ("microsoft/Phi-4-mini-instruct", "qlora", 4)
        assert found.push_image == "registry.example.com/adapter:1"
        assert found.push_secret == ["/workspace/tuning-secrets/push-0"]

    def test_nothing_in_an_address_is_taken_for_a_variable(self) -> None:
        assert "--data-url=https://data.example.com/a.parquet?key=$$(SECRET)" in arguments(tuned())

    def test_secrets_are_mounted_and_stand_nowhere_else(self) -> None:
        made = tuned(IMAGE)
        mounted = [dig(volume, "secret", "secretName") for volume in dig_dicts(pod_spec(made), "volumes")]
        assert [name for name in mounted if name] == ["pull", "push"]
        assert parse(arguments(made)).pull_secret == ["/workspace/tuning-secrets/pull-0"]

    def test_volumes_are_mounted_the_data_read_only(self) -> None:
        made = tuned(DataSource(volume_source={"configMap": {"name": "d"}}), TO_VOLUME)
        mounts = {dig(m, "name"): m for m in dig_dicts(container(made), "volumeMounts")}
        assert mounts["data"]["readOnly"] is True
        assert mounts["output"] == {"name": "output", "mountPath": "/mnt/results"}
        found = parse(arguments(made))
        assert (found.data_folder, found.into) == ("/workspace/tuning-data", "/mnt/results/w")

    def test_checkpoints_outlive_the_pod_where_the_result_goes_to_a_volume(self) -> None:
        assert parse(arguments(tuned(output=TO_VOLUME))).checkpoints == "/mnt/results/.w.checkpoints"
        assert parse(arguments(tuned())).checkpoints is None

    def test_a_model_from_a_registry_is_fetched_before_and_the_hub_is_not_asked(self) -> None:
        made = tuned()
        assert made.model is not None
        model = made.model.model_copy(update={"source": ModelSource(image="registry.example.com/phi:1")})
        spec = pod_spec(tuned(model=model))
        assert dig_dicts(spec, "initContainers")[0]["name"] == "weights"
        assert parse(arguments(tuned(model=model))).model == "/workspace/weights/model"
        assert {"name": "HF_HUB_OFFLINE", "value": "1"} in dig_dicts(container(tuned(model=model)), "env")

    def test_what_an_operator_lets_through_reaches_the_pod(self) -> None:
        images = Images("registry.example.com/inference:1", urls={"KAITOBUS_URL_NETWORKS": "10.0.0.0/8"})
        made = dig_dicts(job(tuned(), images), "spec", "template", "spec", "containers")[0]
        assert {"name": "KAITOBUS_URL_NETWORKS", "value": "10.0.0.0/8"} in dig_dicts(made, "env")


ENDED_WELL: JsonObject = {"conditions": [{"type": "Complete", "status": "True"}]}


def kept(before: Plan, now: Plan, status: JsonObject | None = None) -> bool:
    """Whether the Job of a plan of before is left as it is by that of now."""
    return fits(job(before) | {"status": status or {}}, now)


class TestTheJobOfBefore:
    """When it is kept, and when it is made anew."""

    def test_a_plan_that_changes_nothing_of_the_run_keeps_it(self) -> None:
        assert kept(tuned(), tuned(revision=2, generation=3, cost_per_hour=1.0, why=("else",)))

    @pytest.mark.parametrize(
        "now",
        [
            tuned(node_labels={"apps": "phi", "share.kaito.sh/x": "w"}),
            tuned(taints=("sku=gpu:NoSchedule",)),
            tuned(tolerates=("spot=true:NoSchedule",)),
            tuned(gpus=2),
            tuned(pod=PodResources(memory_gib=9.5)),
            tuned(output=TO_IMAGE.model_copy(update={"image_push_secret": "another"})),
        ],
    )
    def test_another_offer_makes_a_run_anew_but_not_one_that_is_done(self, now: Plan) -> None:
        assert not kept(tuned(), now)
        assert not kept(tuned(), now, {"conditions": [{"type": "Failed", "status": "True"}]})
        assert kept(tuned(), now, ENDED_WELL)

    @pytest.mark.parametrize(
        "now",
        [
            tuned(output=TO_VOLUME),
            tuned(IMAGE),
            tuned(model=tuned().model.model_copy(update={"revision": "abc"})),  # type: ignore[union-attr]
            tuned(tuning=tuned().tuning.model_copy(update={"config": {}})),  # type: ignore[union-attr]
            tuned(simulated=True),
        ],
    )
    def test_what_the_user_asks_for_anew_is_run_anew_even_when_the_old_is_done(self, now: Plan) -> None:
        assert not kept(tuned(), now)
        assert not kept(tuned(), now, ENDED_WELL)


def state_of(phase: str, code: int = 0, message: str = "", *, again: bool = False) -> Pod:
    """A pod whose container runs, or ended with a code; `again`: and was started anew."""
    ended: JsonObject = {"terminated": {"exitCode": code, "message": message}}
    running: JsonObject = {"running": {"startedAt": "2026-01-01T00:00:00Z"}}
    status: JsonObject = {"name": "tuning", "state": running if phase == "Running" else ended}
    if again:
        status |= {"lastState": ended, "restartCount": 1}
    return pod("w-x", status={"phase": phase, "containerStatuses": [status]})


def told(seen: TuningSeen, state: PlanState | None = None) -> dict[ConditionType, tuple[ConditionStatus, str, str]]:
    report = tuning_report(state or plan_state(tuned()), seen)
    return {c.type: (c.status, c.reason, c.message) for c in report.conditions}


STARTED = ConditionType.JOB_STARTED
ENDED = ConditionType.JOB_SUCCEEDED


NEW_JOB: JsonObject = {"metadata": {"uid": "new"}}


class TestThePodsOfAJob:
    """By which it is judged."""

    def test_what_the_job_of_before_has_left_says_nothing_of_the_new_one(self) -> None:
        assert pods_of(NEW_JOB, (pod("w-a", owner="old"), pod("w-b", owner="new"))) == (pod("w-b", owner="new"),)

    def test_nor_does_a_pod_that_is_being_ended(self) -> None:
        assert pods_of(NEW_JOB, (pod("w-a", owner="new", going=True),)) == ()

    @pytest.mark.parametrize("said", ["FailureTarget", "Failed"])
    def test_but_of_a_job_that_has_failed_they_tell_why(self, said: str) -> None:
        failed: JsonObject = NEW_JOB | {"status": {"conditions": [{"type": said, "status": "True"}]}}
        last = pod("w-a", owner="new", going=True)
        assert pods_of(failed, (last,)) == (last,)


class TestReport:
    """What a person is told."""

    def test_before_there_is_a_pod(self) -> None:
        found = told(seen_of({}, ()))
        assert found == {STARTED: (ConditionStatus.FALSE, Reason.JOB_PENDING, "The Job has no pod yet.")}

    def test_while_its_node_is_made(self) -> None:
        assert told(seen_of({}, (pod(node=None),)))[STARTED][1] == Reason.INFERENCE_PENDING_NODES

    def test_while_it_trains(self) -> None:
        seen = seen_of({}, (state_of("Running"),)).model_copy(update={"progress": TuningProgress(step=3, steps=9)})
        assert told(seen)[STARTED][0] is ConditionStatus.TRUE
        assert told(seen)[ENDED][:2] == (ConditionStatus.FALSE, Reason.JOB_RUNNING)
        report = tuning_report(plan_state(tuned()), seen)
        assert report.tuning is not None
        assert (report.tuning.step, report.tuning.steps) == (3, 9)

    def test_after_a_break_it_says_why_it_broke(self) -> None:
        seen = seen_of({}, (state_of("Running", 75, "The hub does not answer.", again=True),))
        assert "goes on after a break. The hub does not answer." in told(seen)[ENDED][2]

    def test_an_end_that_may_pass_is_tried_again(self) -> None:
        seen = seen_of({}, (state_of("Pending", 137),))
        assert not seen.stopped
        assert told(seen)[ENDED][:2] == (ConditionStatus.FALSE, Reason.CONTAINER_CRASH_LOOP)
        assert "last checkpoint" in (tuning_report(plan_state(tuned()), seen).next_step or "")

    def test_a_container_that_was_killed_for_its_memory_says_so_though_it_could_not(self) -> None:
        ended: JsonObject = {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}
        status: JsonObject = {"phase": "Pending", "containerStatuses": [{"name": "tuning", "state": ended}]}
        assert "more memory than it may" in seen_of({}, (pod("w-x", status=status),)).failure

    def test_bad_input_is_not(self) -> None:
        line = json.dumps({"level": "error", "message": "train.csv is not UTF-8."})
        seen = seen_of({}, (state_of("Pending", 65, f"noise\n{line}"),))
        assert seen.stopped
        assert told(seen)[ENDED] == (
            ConditionStatus.FALSE, Reason.JOB_FAILED, "The tuning has failed. train.csv is not UTF-8."
        )  # fmt: skip

    def test_what_the_job_remembers_is_told_when_its_pods_are_gone(self) -> None:
        failed: JsonObject = {
            "metadata": {"annotations": {FAILURE: "The disk is full."}},
            "status": {"conditions": [{"type": "Failed", "status": "True"}]},
        }
        assert "The disk is full." in told(seen_of(failed, ()))[ENDED][2]

    def test_the_result_is_told_with_its_digest(self) -> None:
        result = {"step": 9, "evalLoss": 0.25, "digest": "sha256:ab", "reference": "r.example.com/a@sha256:ab"}
        done: JsonObject = {
            "metadata": {"annotations": {RESULT: json.dumps(result)}},
            "status": {"conditions": [{"type": "Complete", "status": "True"}]},
        }
        seen = seen_of(done, ())
        assert told(seen)[ENDED] == (
            ConditionStatus.TRUE,
            Reason.JOB_SUCCEEDED,
            "The adapter is r.example.com/a@sha256:ab, with a loss of 0.25 on held-out data.",
        )
        assert seen.progress is not None
        assert seen.progress.to_dict()["digest"] == "sha256:ab"

    def test_a_rehearsal_says_that_nothing_was_tuned(self) -> None:
        done: JsonObject = {"status": {"conditions": [{"type": "Complete", "status": "True"}]}}
        found = told(seen_of(done, ()), plan_state(tuned(simulated=True)))
        assert {reason for _, reason, _ in found.values()} == {Reason.SIMULATED}

    @pytest.mark.parametrize("text", ["", "words", "[1]", '{"step": "many"}', '{"step": -1}'])
    def test_what_is_no_result_is_none(self, text: str) -> None:
        assert read_result(text) is None

    def test_a_result_is_read_from_the_last_line_of_a_log(self) -> None:
        line = json.dumps({"message": "the adapter is w", "result": {"folder": "w", "step": 3}})
        assert read_result(f"noise\n{line}\n") == TuningProgress(folder="w", step=3)

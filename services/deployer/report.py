"""What the deployer reports for a plan, from the objects in the cluster. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from services.contracts.base import Contract
from services.contracts.conditions import Condition, ConditionType, Reason, false, true
from services.contracts.messages import PlanState, Report
from services.contracts.performance import Performance
from services.contracts.plan import Plan, Workload
from services.contracts.subjects import ServiceName
from services.deployer.adapter_states import AdapterStates, adapters_condition
from services.deployer.benchmark import BenchmarkTold, benchmark_condition, benchmark_metrics
from services.deployer.diagnose import Diagnosis, diagnose
from services.deployer.phases import phases
from services.deployer.pods import Pod
from services.deployer.tuning_report import TuningSeen, told_of


class Observed(Contract):
    """What was found: pods, the last log lines of a crashed one, why some are missing, what the server tells."""

    pods: tuple[Pod, ...] = ()
    crash_log: str = ""
    refusal: str = ""
    performance: Performance | None = None
    adapters: AdapterStates | None = None
    benchmark: BenchmarkTold | None = None
    waits_for_turn: bool = False
    """Whether a newer template is there, and not applied yet."""


WAITS = (
    "A newer template waits for its turn: Kaito Bus was upgraded, and starts the servers anew a few at a time. "
    "A change of yours does not wait."
)


def to_report(state: PlanState, observed: Observed) -> Report:
    """The report on a plan that is to be deployed."""
    ready = serving(state, observed.pods)
    diagnosis = None if ready else diagnose(observed.pods, state.plan.nodes, observed.refusal)
    beside = (
        adapters_condition(state, observed.adapters, serving=ready),
        benchmark_condition(state, observed.benchmark, serving=ready),
    )
    return _report(
        state,
        (_inference(state, diagnosis, observed), *(condition for condition in beside if condition)),
        pods=observed.pods,
        next_step=diagnosis.next_step if diagnosis else None,
        endpoint=endpoint(state) if ready and not state.plan.simulated else None,
        performance=_performance(observed) if ready else None,
    )


def _performance(observed: Observed) -> Performance | None:
    """What the engine measured of its memory, and of its speed."""
    memory = observed.performance.metrics if observed.performance else {}
    metrics = memory | benchmark_metrics(observed.benchmark)
    return Performance(metrics=metrics) if metrics else None


def tuning_report(state: PlanState, seen: TuningSeen) -> Report:
    """The report on a plan that tunes."""
    told = told_of(state, seen)
    report = _report(state, told.conditions, pods=seen.pods, next_step=told.next_step)
    return report.model_copy(update={"tuning": told.progress})


def serving(state: PlanState, pods: Sequence[Pod]) -> bool:
    """Whether as many pods are ready as the plan wants."""
    return sum(pod.status.ready and not pod.going for pod in pods) >= state.plan.nodes


def endpoint(state: PlanState) -> str:
    """Where the model answers inside the cluster."""
    return f"http://{state.name}.{state.namespace}.svc.cluster.local"


def released(state: PlanState) -> Report:
    """The report that nothing of the workload is left."""
    return _report(state, (), released=True)


def going(state: PlanState, words: str) -> Report:
    """The report that the workload has been told to end, and what is waited for."""
    return _report(state, (), next_step=words)


def refused(state: PlanState, words: str) -> Report:
    """The report that the API server does not take the objects."""
    condition = false(_first(state), Reason.WORKLOAD_REFUSED, f"Kubernetes refuses the workload: {words}")
    return _report(state, (condition,), next_step="It is tried again every 30 seconds, and when the Workspace changes.")


def is_whole(plan: Plan) -> bool:
    """Whether a plan says all that its workload is made from. One of an earlier version may not."""
    if plan.workload is Workload.TEMPLATE:
        return bool(plan.template)
    return plan.model is not None and (plan.tuning if plan.workload is Workload.TUNING else plan.engine) is not None


def not_whole(state: PlanState) -> Report:
    """The report on a plan that is not whole: the scheduler keeps such a one only if it cannot make another."""
    words = (
        f"The plan is of an earlier version of Kaito Bus and does not say all that {state.plan.workload} needs, so "
        "nothing is started."
    )
    condition = false(_first(state), Reason.WORKLOAD_REFUSED, words)
    next_step = "Condition PlanReady says what keeps it from being planned anew. Change that, or delete the Workspace."
    return _report(state, (condition,), next_step=next_step)


def _first(state: PlanState) -> ConditionType:
    return ConditionType.JOB_STARTED if state.plan.workload is Workload.TUNING else ConditionType.INFERENCE_READY


def _inference(state: PlanState, diagnosis: Diagnosis | None, observed: Observed) -> Condition:
    simulated, log = "Simulated: " if state.plan.simulated else "", observed.crash_log
    waits = f" {WAITS}" if observed.waits_for_turn else ""
    if diagnosis is None:
        text = f"{simulated}no model answers." if simulated else f"The model answers at {endpoint(state)}."
        reason = Reason.SIMULATED if simulated else Reason.INFERENCE_READY
        return true(ConditionType.INFERENCE_READY, reason, f"{text}{waits}")
    tail = f" Its last words: {log}" if log and diagnosis.crashed else ""
    return false(ConditionType.INFERENCE_READY, diagnosis.reason, f"{simulated}{diagnosis.message}{tail}{waits}")


def _report(
    state: PlanState,
    conditions: tuple[Condition, ...],
    *,
    pods: Sequence[Pod] = (),
    next_step: str | None = None,
    endpoint: str | None = None,
    performance: Performance | None = None,
    released: bool = False,
) -> Report:
    return Report(
        namespace=state.namespace,
        name=state.name,
        uid=state.uid,
        generation=state.generation,
        plan_revision=state.plan.revision,
        service=ServiceName.DEPLOYER,
        conditions=conditions,
        phases=phases(pods),
        next_step=next_step,
        endpoint=endpoint,
        performance=performance,
        released=released,
    )

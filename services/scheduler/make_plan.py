"""Makes a plan for a workspace from what is offered now, or says why there is none. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pydantic import TypeAdapter

from services.contracts.base import Contract
from services.contracts.conditions import Reason
from services.contracts.messages import WorkspaceState
from services.contracts.model_source import BadSource
from services.contracts.offers import Offers
from services.contracts.plan import (
    Engine,
    Fixed,
    Plan,
    PodResources,
    Prediction,
    Runtime,
    SetAside,
    Workload,
)
from services.contracts.serving import BadServing, serving_of
from services.contracts.tuning import PlannedTuning
from services.contracts.workspace import (
    ANNOTATION_ENABLE_LB,
    ANNOTATION_PROVIDER,
    ANNOTATION_WHOLE_NODE,
    LABEL_WORKSPACE,
    LABEL_WORKSPACE_NAMESPACE,
    LabelSelector,
    Schemaless,
    share_label,
)
from services.scheduler.candidates import Candidate, Wanted
from services.scheduler.catalog import Catalogue
from services.scheduler.choose import choose
from services.scheduler.demands import asks_for_spot
from services.scheduler.engine_config import BadConfig, EngineConfig, read_config
from services.scheduler.engine_settings import engine_settings, transformers_settings
from services.scheduler.facts import ModelFacts
from services.scheduler.ignored import ignored
from services.scheduler.known_skus import KnownSkus
from services.scheduler.lora import named_adapters, plan_lora
from services.scheduler.own_code import check_trust, trust_warnings
from services.scheduler.planned_model import planned_model, source_words
from services.scheduler.refusal import Refusal
from services.scheduler.runtimes import BadRuntime, check_adapters, check_model, read_runtime, transformers_wish
from services.scheduler.sizing import Wish
from services.scheduler.tuning_config import not_tunable, tuning_of
from services.scheduler.unplanned import check_settings, unplanned
from services.scheduler.wishes import read_wish
from services.tuning.read import unused
from services.tuning.sections import TuningConfig

GPU_TAINT = "sku=gpu:NoSchedule"
MOST_NODES = 64
"""More nodes than this are not bought for one workspace: a slip of the finger must not empty an account."""
DISK_GIB = 80
"""Disk for the image and the system where the model is not known."""


class Subject(Contract):
    """What is to be planned: the model with its settings; no model for a pod of the user's own."""

    model: ModelFacts | None = None
    config: EngineConfig = EngineConfig()
    wish: Wish = Wish()
    tuning: TuningConfig | None = None


def make_plan(
    state: WorkspaceState,
    offers: Sequence[Offers],
    aside: Sequence[SetAside],
    catalogue: Catalogue,
    known: KnownSkus,
    held: Plan | None = None,
    hub: ModelFacts | Refusal | None = None,
) -> Plan | Refusal:
    """The plan by the best offer that fits and was not set aside. Its revision and inputs are the caller's to set.

    `held` is the plan of before: what it holds need not be free. `hub` is what is known of a model that is not in the
    catalogue.
    """
    subject = subject_of(state, catalogue, hub)
    if isinstance(subject, Refusal):
        return subject
    chosen = choose(wanted_of(state, subject, offers, held), offers, aside, known)
    if isinstance(chosen, Refusal):
        return chosen
    try:
        return _plan(state, subject, chosen, held)
    except (BadSource, BadServing) as error:
        return Refusal(reason=Reason.INVALID_SPEC, message=str(error))


def wanted_of(state: WorkspaceState, subject: Subject, offers: Sequence[Offers], held: Plan | None = None) -> Wanted:
    """What is to be found among the offers."""
    resource = state.spec.resource
    return Wanted(
        model=subject.model,
        wish=subject.wish,
        instance_type=resource.instance_type,
        nodes=resource.count or 1,
        provider=state.annotations.get(ANNOTATION_PROVIDER),
        tuning=subject.tuning,
        held=(held.provider, held.instance_type) if held else None,
        spot=frozenset(o.provider for o in offers if asks_for_spot(state, o.provider)),
        whole_node=_is_on(state, ANNOTATION_WHOLE_NODE),
    )


def subject_of(
    state: WorkspaceState, catalogue: Catalogue, hub: ModelFacts | Refusal | None = None
) -> Subject | Refusal:
    """What the workspace is about, or why that cannot be planned at all."""
    if state.spec.resource.partition is not None:
        return Refusal(
            reason=Reason.INVALID_SPEC,
            message="This version uses whole GPUs only: remove resource.partition.",
        )
    preset = state.spec.preset
    if preset is None:
        return _own_pod(state)
    found = hub or catalogue.resolve(preset.name)
    if isinstance(found, Refusal):
        return found
    if not isinstance(found, ModelFacts):
        return Refusal(reason=Reason.UNKNOWN_PRESET, message=found.message)
    if state.spec.tuning and (refusal := not_tunable(found)):
        return refusal
    try:
        return _served(state, found)
    except BadConfig as error:
        return Refusal(reason=Reason.INVALID_CONFIG, message=str(error))
    except BadRuntime as error:
        return Refusal(reason=Reason.INVALID_SPEC, message=str(error))


def _served(state: WorkspaceState, model: ModelFacts) -> Subject:
    """The model with the settings that the user gave. Raises BadConfig and BadRuntime."""
    if state.spec.tuning:
        wish = read_wish(EngineConfig(), state.annotations, 0)
        return Subject(model=model, wish=wish, tuning=tuning_of(state))
    runtime, config, adapters = read_runtime(state.annotations), read_config(state.configs), len(named_adapters(state))
    check_model(model, runtime)
    check_trust(model, config)
    if runtime is Runtime.VLLM:
        check_settings(config)
    wish = read_wish(config, state.annotations, adapters)
    if runtime is Runtime.TRANSFORMERS:
        wish = transformers_wish(config, wish, state.annotations, adapters)
    else:
        check_adapters(model, wish)
    return Subject(model=model, config=config, wish=wish)


def _own_pod(state: WorkspaceState) -> Subject | Refusal:
    """A pod of the user's own runs on as many nodes as the user says, within reason."""
    count = state.spec.resource.count or 1
    if count > MOST_NODES:
        return Refusal(
            reason=Reason.INVALID_SPEC,
            message=f"resource.count is {count}; a Workspace can have at most {MOST_NODES} nodes.",
        )
    return Subject()


def _plan(state: WorkspaceState, subject: Subject, chosen: Candidate, held: Plan | None) -> Plan:
    spec, offer = state.spec, chosen.offer
    workload, model = _workload(state), subject.model
    planned = planned_model(state, model) if model else None
    return Plan(
        revision=1,
        generation=state.generation,
        workload=workload,
        provider=chosen.provider,
        instance_type=offer.instance_type,
        nodes=chosen.nodes,
        simulated=chosen.simulated,
        model=planned,
        engine=_engine(subject, chosen) if model and workload is Workload.INFERENCE else None,
        template=dict(spec.inference.template) if spec.inference and spec.inference.template else None,
        pod=PodResources(gpus=chosen.gpus, memory_gib=_host_gib(chosen)),
        shares_node=chosen.shares,
        node_labels=_node_labels(state, chosen),
        taints=(GPU_TAINT,) if offer.gpus and not chosen.shares else (),
        tolerates=offer.taints,
        disk_gib=model.disk_gib if model else DISK_GIB,
        lora=plan_lora(state, model, subject.wish, held) if model and workload is Workload.INFERENCE else None,
        load_balancer=_is_on(state, ANNOTATION_ENABLE_LB),
        serving=serving_of(state.annotations),
        prediction=_prediction(chosen),
        tuning=_tuning(state, subject, chosen),
        cost_per_hour=chosen.cost_per_hour,
        why=(*chosen.why, *source_words(planned)),
        warnings=(*chosen.warnings, *ignored(spec, chosen), *_more_warnings(subject)),
        fixed=_fixed(state),
    )


def _node_labels(state: WorkspaceState, chosen: Candidate) -> dict[str, str]:
    """The user's labels, and ours: on nodes that others may use as well each workspace has one of its own."""
    ours = {LABEL_WORKSPACE: state.name, LABEL_WORKSPACE_NAMESPACE: state.namespace}
    if chosen.shares:
        ours = {share_label(state.uid): state.name}
    return _labels(state.spec.resource.label_selector) | ours


def _fixed(state: WorkspaceState) -> Fixed:
    return Fixed(
        instance_type=state.spec.resource.instance_type,
        labels=_labels(state.spec.resource.label_selector),
        preset=state.spec.preset.name.lower() if state.spec.preset else None,
        workload=_workload(state),
    )


def _host_gib(chosen: Candidate) -> float | None:
    """The memory that a pod asks for: only where there is no GPU, since else the node is its own."""
    sized = chosen.sizing or chosen.tuned
    return sized.memory_gib if sized and not chosen.offer.gpus else None


def _tuning(state: WorkspaceState, subject: Subject, chosen: Candidate) -> PlannedTuning | None:
    wanted = state.spec.tuning
    if wanted is None or subject.tuning is None or chosen.tuned is None:
        return None
    return PlannedTuning(
        method=wanted.method.lower(),
        config=TypeAdapter(Schemaless).validate_python(subject.tuning.to_sections()),
        input=wanted.input,
        output=wanted.output,
        memory=chosen.tuned.memory,
    )


def _more_warnings(subject: Subject) -> Iterator[str]:
    if subject.tuning:
        yield from unused(subject.tuning)
        if subject.model and not subject.model.lora:
            lacks = f"vLLM takes no LoRA adapters for {subject.model.architecture}"
            yield f"{lacks}: the result must be merged to be served."
    elif subject.model:
        yield from (*trust_warnings(subject.model, subject.config), *unplanned(subject.config))


def _is_on(state: WorkspaceState, annotation: str) -> bool:
    return state.annotations.get(annotation, "").lower() == "true"


def _workload(state: WorkspaceState) -> Workload:
    if state.spec.tuning is not None:
        return Workload.TUNING
    return Workload.INFERENCE if state.spec.preset is not None else Workload.TEMPLATE


def _labels(selector: LabelSelector) -> dict[str, str]:
    """The selector as labels. The watcher lets only plain maps through; labels of our own are set by us."""
    labels = dict(selector.match_labels or {})
    labels |= {e.key: e.values[0] for e in selector.match_expressions or () if e.values}
    return {key: value for key, value in labels.items() if not key.startswith("kaito.sh/")}


def _engine(subject: Subject, chosen: Candidate) -> Engine:
    if subject.model is None or chosen.sizing is None:
        raise ValueError("an engine is planned for a sized model")
    if subject.wish.runtime is Runtime.TRANSFORMERS:
        return transformers_settings(subject.config, chosen.sizing)
    return engine_settings(subject.model, subject.config, subject.wish, chosen.sizing, on_cpu=not chosen.offer.gpus)


def _prediction(chosen: Candidate) -> Prediction | None:
    return chosen.sizing.prediction() if chosen.sizing else None

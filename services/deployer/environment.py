"""The environment variables of the inference container, each with its reason. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from services.chassis.kube import JsonObject
from services.contracts.identity import traceparent
from services.contracts.messages import PlanState
from services.contracts.plan import Engine, Plan, PlannedModel
from services.contracts.serving import SECRET_KEY_API_KEY
from services.contracts.workspace import SECRET_KEY_HF_TOKEN
from services.deployer.adapters import adapter_environment
from services.deployer.benchmark_parts import benchmark_environment
from services.deployer.command import NOT_TOLD, Setting
from services.deployer.compiled import compiled_environment
from services.deployer.serving import serving_environment
from services.deployer.weights import WEIGHTS

TOKEN = "HF_TOKEN"
API_KEY = "VLLM_API_KEY"


def variables(
    state: PlanState,
    model: PlannedModel,
    engine: Engine,
    hub: str | None,
    otlp_endpoint: str | None,
    urls: Mapping[str, str] | None = None,
) -> list[Setting]:
    """All variables by name. That of a secret has the secret's name for a value, in words.

    `urls` are those that say which addresses adapters may be fetched from.
    """
    ours = (
        *_ours(state),
        *serving_environment(state, model),
        *_hub(model, hub),
        *_traces(otlp_endpoint),
        *adapter_environment(state.plan.lora, urls or {}),
        *compiled_environment(state.plan),
        *benchmark_environment(engine),
    )
    found = {setting.name: setting for setting in ours}
    found |= {name: Setting(name, value, engine.reasons.get(name, NOT_TOLD)) for name, value in engine.env.items()}
    if model.token_secret:
        found[TOKEN] = Setting(
            TOKEN, f"(of the secret {model.token_secret})", "You named it: the hub asks for a token."
        )
    if secret := state.plan.serving.api_key_secret:
        found[API_KEY] = Setting(API_KEY, f"(of the secret {secret})", "You named it: callers must know its key.")
    return [found[name] for name in sorted(found)]


def environment(state: PlanState, settings: Sequence[Setting]) -> list[JsonObject]:
    """All variables as a container has them. Each name once: server-side apply refuses a list with a key twice."""
    secrets = _secrets(state.plan)
    plain: list[JsonObject] = [{"name": one.name, "value": one.value} for one in settings if one.name not in secrets]
    hidden: list[JsonObject] = [{"name": name, "valueFrom": {"secretKeyRef": ref}} for name, ref in secrets.items()]
    return plain + hidden


def _secrets(plan: Plan) -> dict[str, JsonObject]:
    """The variables whose values Kubernetes takes from secrets."""
    found: dict[str, JsonObject] = {}
    if plan.model and plan.model.token_secret:
        found[TOKEN] = {"name": plan.model.token_secret, "key": SECRET_KEY_HF_TOKEN}
    if secret := plan.serving.api_key_secret:
        found[API_KEY] = {"name": secret, "key": SECRET_KEY_API_KEY}
    return found


def _ours(state: PlanState) -> list[Setting]:
    trace = traceparent(state.uid, state.plan.generation)
    return [
        Setting("HF_HOME", WEIGHTS, "The pod's volume for weights, so that the image's own disk does not fill up."),
        Setting("OTEL_SERVICE_NAME", "kaitobus-inference", "The name of its spans."),
        Setting("TRACEPARENT", trace, "The start of the engine is part of the Workspace's trace."),
    ]


def _hub(model: PlannedModel, hub: str | None) -> list[Setting]:
    found = [Setting("HF_ENDPOINT", hub, "The deployer's own setting names this mirror of the hub.")] if hub else []
    if model.source:
        found.append(Setting("HF_HUB_OFFLINE", "1", "The files do not come from the hub, so nothing is asked of it."))
    return found


def _traces(otlp_endpoint: str | None) -> list[Setting]:
    if not otlp_endpoint:
        return []
    protocol = "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"
    return [
        Setting("OTEL_EXPORTER_OTLP_ENDPOINT", otlp_endpoint, "The deployer's own traces go there, too."),
        Setting(protocol, "http/protobuf", "The endpoint is spoken to over HTTP, as by all services."),
    ]

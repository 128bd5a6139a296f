"""Every flag and variable that the engine is started with has a reason, and no reason is left over."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache

import pytest
from typer.testing import CliRunner

from services.cli.main import app
from services.cli.offered import offers_of_clouds
from services.contracts.messages import PlanState
from services.contracts.offers import Offer, Offers
from services.contracts.plan import Plan
from services.contracts.workspace import (
    ANNOTATION_CONCURRENCY,
    ANNOTATION_PERFORMANCE_MODE,
    ANNOTATION_PROVIDER,
)
from services.deployer.command import NOT_TOLD, flags
from services.deployer.environment import environment, variables
from services.deployer.manifests import Images, render
from services.scheduler.catalog import load_catalogue
from services.scheduler.known_skus import load_known_skus
from services.scheduler.make_plan import make_plan
from services.scheduler.modes import Mode
from tests.unit.planning import NOW, workspace

CATALOGUE, KNOWN = load_catalogue(), load_known_skus()
LAPTOP = Offers(
    provider="local",
    offers=(Offer(instance_type="laptop", memory_gib=4096, price_per_hour=0),),
    published_at=NOW,
)
SIZES = ("Standard_NV36ads_A10_v5", "Standard_NC96ads_A100_v4", "Standard_ND96isr_H100_v5")
"""A small GPU, an older node of four, a newer node of eight."""
SETTINGS = "vllm: {max-model-len: 512, max-num-seqs: 7, seed: 3, dtype: float16, gpu-memory-utilization: 0.8}"


@cache
def offered(size: str) -> Offers:
    """One size of a cloud, from a provider that is simulated, so that any number of nodes can be planned."""
    (azure,) = offers_of_clouds(("azure",))
    one = tuple(offer for offer in azure.offers if offer.instance_type == size)
    return azure.model_copy(update={"offers": one, "simulated": True, "published_at": NOW})


def plans(model: str, mode: Mode | None, settings: str | None = None) -> Iterator[Plan]:
    """The plans of a model by each offer on which it fits."""
    annotations = {ANNOTATION_PERFORMANCE_MODE: mode.value} if mode else {}
    for offers in (LAPTOP, *map(offered, SIZES)):
        state = workspace(
            model,
            annotations={**annotations, ANNOTATION_PROVIDER: offers.provider},
            config=settings,
        )
        made = make_plan(state, [offers], (), CATALOGUE, KNOWN)
        if isinstance(made, Plan):
            yield made


def check(plan: Plan) -> None:
    """Each thing that the deployer renders has a reason, and each reason of the plan is of a thing that is rendered."""
    assert plan.model is not None
    assert plan.engine is not None
    state = PlanState(namespace="team", name="w", uid="u", generation=1, plan=plan)
    otlp = "http://collector:4318"
    told = flags(plan.model, plan.engine, otlp)
    told_variables = variables(state, plan.model, plan.engine, "http://mirror", otlp)
    container = json.loads(json.dumps(render(state, Images("image:1", hub="http://mirror"), otlp)))[-1]["spec"][
        "template"
    ]["spec"]["containers"][0]
    assert [word.removeprefix("--").partition("=")[0] for word in container["args"]] == [flag.name for flag in told]
    assert sorted(entry["name"] for entry in container["env"]) == [variable.name for variable in told_variables]
    for setting in (*told, *told_variables):
        assert setting.why != NOT_TOLD, setting
        assert setting.why.endswith("."), setting
        assert len(setting.why) > 10, setting
    assert plan.engine.reasons.keys() <= {setting.name for setting in (*told, *told_variables)}


@pytest.mark.parametrize("mode", Mode)
def test_every_setting_of_every_preset_has_a_reason(mode: Mode | None) -> None:
    made = [plan for model in CATALOGUE.models for plan in plans(model.id, mode)]
    assert len(made) > 150
    for plan in made:
        check(plan)


def test_what_the_user_sets_has_a_reason_and_says_what_it_replaces() -> None:
    made = list(plans("phi-4-mini-instruct", Mode.THROUGHPUT, SETTINGS))
    assert len(made) == 4
    for plan in made:
        check(plan)
        assert plan.engine is not None
        assert plan.engine.reasons["seed"] == "You set it in the ConfigMap."
        assert (
            plan.engine.reasons["dtype"]
            == f"You set it in the ConfigMap; without that it would be {plan.engine.dtype}."
        )
        assert plan.engine.reasons["max-model-len"].startswith("You asked for it")


def test_a_reason_of_the_catalogue_is_of_a_flag_that_a_model_has() -> None:
    used = {flag for model in CATALOGUE.models for flag in model.flags}
    assert {flag for model in CATALOGUE.models for flag in model.flag_reasons} == used


def test_the_reasons_name_where_a_number_came_from() -> None:
    made = {plan.instance_type: plan.engine for plan in plans("llama-3.3-70b-instruct", Mode.THROUGHPUT) if plan.engine}
    h100 = made["Standard_ND96isr_H100_v5"].reasons
    assert h100["max-model-len"].startswith("All that the model can read: it fits")
    assert "joined by nvlink" in h100["tensor-parallel-size"]
    assert "doubled by mode throughput" in h100["max-num-seqs"]
    assert h100["data-parallel-size"] == "A replica takes 4 of the node's 8 GPUs, so 2 find room."


def test_a_concurrency_that_was_asked_for_is_named() -> None:
    state = workspace("phi-4-mini-instruct", annotations={ANNOTATION_CONCURRENCY: "2000"})
    made = make_plan(state, [offered(SIZES[2])], (), CATALOGUE, KNOWN)
    assert isinstance(made, Plan)
    assert made.engine is not None
    assert made.engine.flags["max-num-seqs"] == "2000"
    assert "kaito.sh/concurrency" in made.engine.reasons["max-num-seqs"]


def test_the_plan_of_an_earlier_version_is_rendered_without_reasons() -> None:
    (made, *_) = plans("phi-4-mini-instruct", None)
    assert made.model is not None
    assert made.engine is not None
    old = made.engine.model_copy(update={"reasons": {}})
    assert NOT_TOLD in {flag.why for flag in flags(made.model, old)}


def test_a_tokens_secret_is_told_by_its_name_only() -> None:
    (made, *_) = plans("phi-4-mini-instruct", None)
    assert made.model is not None
    assert made.engine is not None
    model = made.model.model_copy(update={"token_secret": "hub"})
    state = PlanState(namespace="team", name="w", uid="u", generation=1, plan=made)
    settings = variables(state, model, made.engine, None, None)
    told = {setting.name: setting for setting in settings}
    assert told["HF_TOKEN"].value == "(of the secret hub)"
    assert {e["name"] for e in environment(state, settings)} == told.keys()


MANIFEST = """
apiVersion: kaito.sh/v1beta1
kind: Workspace
metadata: {name: w}
resource: {labelSelector: {matchLabels: {apps: x}}}
inference: {preset: {name: phi-4-mini-instruct}}
"""


def test_the_command_prints_each_setting_with_its_reason() -> None:
    plain = CliRunner().invoke(app, ["plan", "-f", "-", "--cloud", "azure"], input=MANIFEST)
    assert "--dtype" not in plain.stdout
    told = CliRunner().invoke(app, ["plan", "-f", "-", "--cloud", "azure", "--explain"], input=MANIFEST)
    assert "  --gpu-memory-utilization=0.9\n      The memory is planned with it" in told.stdout
    assert "  HF_HOME=/workspace/weights\n      The pod's volume" in told.stdout
    assert "not-applied" not in told.stdout


def test_programs_get_the_reasons_always() -> None:
    result = CliRunner().invoke(app, ["plan", "-f", "-", "--cloud", "azure", "-o", "json"], input=MANIFEST)
    (answer,) = json.loads(result.stdout)
    flag = next(flag for flag in answer["engine"]["flags"] if flag["name"] == "--port")
    assert flag == {"name": "--port", "value": "5000", "why": "The Service leads to it, as in KAITO."}
    assert {variable["name"] for variable in answer["engine"]["environment"]} >= {"HF_HOME", "TRACEPARENT"}

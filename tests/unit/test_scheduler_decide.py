"""What the scheduler decides for a workspace that has no plan yet: which offer, and what is planned on it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.contracts.conditions import Reason
from services.contracts.messages import WorkspaceState
from services.contracts.model_source import ModelSource
from services.contracts.offers import Offer, Offers
from services.contracts.workspace import Inference, LabelSelector, Resource, WorkspaceSpec
from services.scheduler.decide import decide
from services.scheduler.demands import demands_for
from tests.unit.planning import (
    A10,
    A100,
    CATALOGUE,
    CLOUD,
    FAKE,
    KNOWN,
    LAPTOP,
    NOW,
    V100,
    decided,
    gpu,
    planned,
    workspace,
)


def test_the_cheapest_that_fits_is_chosen_when_none_is_named() -> None:
    plan = planned(workspace())
    assert (plan.provider, plan.instance_type, plan.nodes, plan.cost_per_hour) == ("cloud", "A10", 1, 1.0)


def test_a_size_too_small_is_passed_over() -> None:
    assert planned(workspace("phi-4")).instance_type == "A100"


def test_what_needs_several_nodes_is_only_rehearsed() -> None:
    small = (gpu("small", 22, 0.1),)
    real = decided(workspace("phi-4"), (CLOUD.model_copy(update={"offers": small}),))
    assert "serves a model on one node" in real.condition.message
    rehearsed = decided(workspace("phi-4"), (FAKE.model_copy(update={"offers": small}),))
    assert rehearsed.plan is not None
    assert rehearsed.plan.nodes == 2
    assert "only rehearsed" in rehearsed.condition.message


def test_a_named_size_is_taken_even_if_another_is_cheaper() -> None:
    assert planned(workspace(instance_type="a100")).instance_type == "A100"


def test_a_real_offer_comes_before_a_cheaper_simulated_one() -> None:
    assert planned(workspace(), (CLOUD, FAKE)).provider == "cloud"


def test_only_a_simulated_offer_gives_a_simulated_plan() -> None:
    decision = decided(workspace(), (FAKE,))
    assert decision.plan is not None
    assert decision.plan.simulated
    assert decision.condition.message.startswith("Simulated: ")


def test_a_retired_size_is_never_chosen_but_planned_with_a_warning_when_named() -> None:
    decision = decided(workspace("phi-3-mini-4k-instruct", "Standard_NC6s_v3"))
    assert decision.plan is not None
    assert "retired by its cloud on 2025-09-30" in decision.condition.message
    assert "Use A10 ($1 an hour) instead" in decision.condition.message
    assert "older than today's vLLM wants" in decision.condition.message


def test_a_large_model_is_not_put_on_a_machine_without_gpu_unless_asked_for() -> None:
    assert planned(workspace(), (LAPTOP, FAKE)).provider == "fake"
    named = workspace(annotations={"kaito.sh/provider": "local"})
    assert planned(named, (LAPTOP, FAKE)).provider == "local"


def test_a_small_model_runs_without_gpu() -> None:
    plan = planned(workspace("smollm2-135m-instruct"), (LAPTOP, FAKE))
    assert (plan.instance_type, plan.pod.gpus, plan.simulated) == ("local-8gi", 0, False)


def test_the_provider_that_an_annotation_names_is_the_only_one_asked() -> None:
    decision = decided(workspace(annotations={"kaito.sh/provider": "azure"}), (CLOUD, FAKE))
    assert (decision.plan, decision.condition.reason) == (None, Reason.WAITING_FOR_PROVIDER)
    assert "Provisioners running: cloud, fake" in decision.condition.message
    assert decision.again


@pytest.mark.parametrize(
    ("state", "reason", "words"),
    [
        (workspace("phi-3-mini-4k"), Reason.UNKNOWN_PRESET, "Did you mean phi-3-mini-4k-instruct"),
        (workspace("falcon-7b"), Reason.UNKNOWN_PRESET, "no longer served"),
        (workspace(instance_type="Standard_NC6s_v4"), Reason.UNKNOWN_INSTANCE_TYPE, "Did you mean Standard_NC6s_v3"),
        (workspace(instance_type="p5.48xlarge"), Reason.WAITING_FOR_PROVIDER, "is a size of aws"),
        (workspace("phi-4", "A100", config="vllm: {max-model-len: 999999}"), Reason.MODEL_DOES_NOT_FIT, "16384"),
        (workspace(config="vllm: [1]"), Reason.INVALID_CONFIG, "map named vllm"),
        (workspace(annotations={"kaito.sh/runtime": "llamacpp"}), Reason.INVALID_SPEC, "must be one of"),
    ],
)  # fmt: skip
def test_what_cannot_be_planned_says_what_to_change(state: WorkspaceState, reason: Reason, words: str) -> None:
    decision = decided(state)
    assert decision.plan is None
    assert (decision.condition.reason, words in decision.condition.message) == (reason, True), (
        decision.condition.message
    )


def test_a_named_size_too_small_names_the_cheapest_that_fits() -> None:
    small = Offers(provider="cloud", offers=(gpu("tiny", 4, 0.1), A100), published_at=NOW)
    decision = decided(workspace(instance_type="tiny"), (small,))
    assert decision.condition.reason == Reason.MODEL_DOES_NOT_FIT
    assert "The smallest that fits is A100 ($3.7 an hour)." in decision.condition.message


def test_the_users_engine_settings_reach_the_plan() -> None:
    plan = planned(workspace(config="vllm: {max-model-len: 4096, max_num_seqs: 8}"))
    assert plan.engine is not None
    assert (plan.engine.max_model_len, plan.engine.flags["max-num-seqs"]) == (4096, "8")


def test_where_the_models_files_come_from_is_planned_and_told() -> None:
    plan = planned(workspace(annotations={"kaito.sh/model-source": "oci://registry.example.com/llama:v1"}))
    assert plan.model is not None
    assert plan.model.source == ModelSource(image="registry.example.com/llama:v1")
    assert plan.why[-1] == "The model's files come from the image registry.example.com/llama:v1."


def test_weights_on_the_nodes_lie_where_kaito_has_them() -> None:
    plan = planned(workspace(annotations={"kaito.sh/use-local-weights": "true"}))
    assert plan.model is not None
    assert plan.model.source == ModelSource(folder="/opt/kaito/models/meta-llama-llama-3.1-8b-instruct")


def test_a_registry_of_a_preset_counts_where_the_workspace_names_none() -> None:
    models = {name: model.model_copy(update={"image": "r.example.com/p:1"}) for name, model in CATALOGUE.names.items()}
    own = CATALOGUE.model_copy(update={"names": models})
    sources = []
    for notes in ({}, {"kaito.sh/model-source": "oci://r.example.com/mine:1"}):
        plan = decide(workspace(annotations=notes), None, (CLOUD,), own, KNOWN, (), NOW).plan
        assert plan is not None
        assert plan.model is not None
        assert plan.model.source is not None
        sources.append(plan.model.source.image)
    assert sources == ["r.example.com/p:1", "r.example.com/mine:1"]


def test_a_size_of_which_none_is_left_is_passed_over_and_planned_with_a_warning_when_named() -> None:
    scarce = CLOUD.model_copy(update={"offers": (A10.model_copy(update={"available": 0}), A100)})
    assert planned(workspace(), (scarce,)).instance_type == "A100"
    named = planned(workspace(instance_type="A10"), (scarce,))
    assert named.instance_type == "A10"
    assert "Only 0 more of A10 can be had now (quota or capacity)." in named.warnings
    assert "Use A100 ($3.7 an hour) instead." in named.warnings


def test_of_equal_price_the_newer_gpu_comes_first_then_fewer_nodes_then_the_name() -> None:
    twins = (gpu("b", 79, 2.0), gpu("a", 79, 2.0), gpu("new", 79, 2.0, capability=9.0))
    assert planned(workspace(), (CLOUD.model_copy(update={"offers": twins}),)).instance_type == "new"
    assert planned(workspace(), (CLOUD.model_copy(update={"offers": twins[:2]}),)).instance_type == "a"
    two, one = gpu("two", 22, 1.0), gpu("one", 79, 2.0)
    assert planned(workspace("phi-4"), (FAKE.model_copy(update={"offers": (two, one)}),)).nodes == 1


def test_the_spot_price_counts_for_who_asks_for_spot_machines() -> None:
    cheap_spot = (A10, A100.model_copy(update={"spot_price_per_hour": 0.4}))
    offers = (CLOUD.model_copy(update={"offers": cheap_spot}),)
    assert planned(workspace(), offers).instance_type == "A10"
    for word in ({"cloud.kaito.sh/spot": "true"}, {"cloud.kaito.sh/capacity-type": "spot"}):
        plan = planned(workspace(annotations=word), offers)
        assert (plan.instance_type, plan.cost_per_hour) == ("A100", 0.4)
    dear = planned(workspace(annotations={"cloud.kaito.sh/spot": "true"}), (CLOUD,))
    assert "Its price as a spot machine is not known; the one on demand is counted." in dear.warnings


def test_nodes_are_demanded_with_the_labels_that_pods_are_pinned_to() -> None:
    plan = planned(workspace(annotations={"cloud.kaito.sh/zone": "2", "fake.kaito.sh/fail": "x"}))
    (demand,) = demands_for(workspace(annotations={"cloud.kaito.sh/zone": "2"}), plan)
    assert demand.labels == plan.node_labels == {
        "apps": "x", "kaito.sh/workspace": "w", "kaito.sh/workspacenamespace": "default"
    }  # fmt: skip
    assert demand.parameters == {"zone": "2"}


def test_what_the_cloud_may_put_on_the_nodes_is_tolerated_but_not_demanded() -> None:
    spot = "cloud/priority=spot:NoSchedule"
    offers = Offers(provider="cloud", offers=(A100.model_copy(update={"taints": (spot,)}),), published_at=NOW)
    state = workspace()
    plan = planned(state, [offers])
    (demand,) = demands_for(state, plan)
    assert plan.tolerates == (spot,)
    assert plan.taints == demand.taints == ("sku=gpu:NoSchedule",)


def test_the_gated_model_without_token_is_planned_with_a_warning() -> None:
    assert any("gated" in warning for warning in planned(workspace()).warnings)


@given(st.permutations([CLOUD, FAKE, LAPTOP]), st.permutations([A10, A100, V100]))
def test_the_order_of_offers_does_not_matter(offers: list[Offers], sizes: list[Offer]) -> None:
    shuffled = tuple(o.model_copy(update={"offers": tuple(sizes)}) if o is CLOUD else o for o in offers)
    assert planned(workspace(), shuffled) == planned(workspace(), (CLOUD, FAKE, LAPTOP))


def test_a_number_of_nodes_beyond_reason_is_refused() -> None:
    own_pod = Inference(template={"spec": {"containers": [{"name": "c", "image": "i"}]}})
    resource = Resource(count=10**12, label_selector=LabelSelector(match_labels={"apps": "x"}))
    state = workspace().model_copy(update={"spec": WorkspaceSpec(resource=resource, inference=own_pod)})
    decision = decided(state)
    assert decision.plan is None
    assert decision.condition.reason == Reason.INVALID_SPEC
    assert "at most 64 nodes" in decision.condition.message

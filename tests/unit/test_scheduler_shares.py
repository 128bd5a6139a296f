"""How many of a node's GPUs a workspace takes: those it needs where others may use the rest, or all."""

from __future__ import annotations

from services.contracts.conditions import Reason
from services.contracts.offers import Offers
from services.contracts.workspace import share_label
from services.scheduler.demands import demands_for
from tests.unit.planning import CLOUD, NOW, decided, gpu, planned, workspace

SHARED = gpu("rack-a100-x8", 79, None, gpus=8, shared=True, free_gpus=8, available=1)
RACK = Offers(provider="byo", offers=(SHARED,), published_at=NOW)


def test_on_a_node_that_can_be_shared_it_takes_the_gpus_it_needs() -> None:
    plan = planned(workspace(), (RACK,))
    assert (plan.pod.gpus, plan.shares_node, plan.taints) == (1, True, ())
    assert plan.engine is not None
    assert plan.engine.data_parallel == 1
    assert "It takes 1 of the node's 8 GPUs; others may use the rest." in plan.why
    (demand,) = demands_for(workspace(), plan)
    assert demand.gpus == 1
    assert demand.labels == plan.node_labels == {"apps": "x", share_label("u1"): "w"}


def test_a_larger_model_takes_more_of_them_and_no_more_than_are_free() -> None:
    assert planned(workspace("llama-3.3-70b-instruct"), (RACK,)).pod.gpus == 2
    full = RACK.model_copy(update={"offers": (SHARED.model_copy(update={"free_gpus": 1, "available": 0}),)})
    assert planned(workspace(), (full,)).pod.gpus == 1
    decision = decided(workspace("llama-3.3-70b-instruct"), (full,))
    assert decision.plan is None
    assert decision.condition.reason == Reason.MODEL_DOES_NOT_FIT


def test_who_asks_for_the_whole_node_gets_all_its_gpus_and_no_neighbour() -> None:
    asked = workspace(annotations={"kaito.sh/whole-node": "true"})
    plan = planned(asked, (RACK,))
    assert (plan.pod.gpus, plan.shares_node) == (8, False)
    assert plan.engine is not None
    assert plan.engine.data_parallel == 8
    assert demands_for(asked, plan)[0].gpus is None
    started = RACK.model_copy(update={"offers": (SHARED.model_copy(update={"available": 0}),)})
    assert "Quota or capacity: none can be had now" in decided(asked, (started,)).condition.message


def test_a_bought_node_has_one_owner_so_replicas_use_all_its_gpus() -> None:
    bought = CLOUD.model_copy(update={"offers": (gpu("x4", 79, 14.0, gpus=4),)})
    plan = planned(workspace(), (bought,))
    assert (plan.pod.gpus, plan.shares_node) == (4, False)
    assert "The node is paid for whole, so 4 replicas share its 4 GPUs." in plan.why

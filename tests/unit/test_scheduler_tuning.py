"""What the scheduler decides on a Workspace that tunes."""

from __future__ import annotations

from services.contracts.conditions import Reason
from services.contracts.plan import Workload
from services.scheduler.demands import demands_for
from tests.unit.planning import FAKE, decided, planned, workspace


def test_tuning_is_planned_on_one_node_by_what_it_takes() -> None:
    made = planned(workspace("phi-4", tuning=True))
    assert (made.workload, made.nodes, made.engine, made.prediction) == (Workload.TUNING, 1, None, None)
    assert made.tuning is not None
    assert made.tuning.memory.weights_gib > 25
    assert any("Tuning phi-4 takes" in sentence for sentence in made.why)
    assert [demand.nodes for demand in demands_for(workspace("phi-4", tuning=True), made)] == [1]


def test_qlora_takes_less_so_a_smaller_machine_does() -> None:
    saving = {"training_config.yaml": "training_config: {TrainingArguments: {gradient_checkpointing: true}}"}
    lora, qlora = (planned(workspace("phi-4", tuning=True, method=m, configs=saving)) for m in ("lora", "QLoRA"))
    assert (lora.instance_type, qlora.instance_type) == ("A100", "A10")
    assert qlora.tuning is not None
    assert qlora.tuning.config["QuantizationConfig"] == {"load_in_4bit": True}


def test_settings_that_cannot_be_used_are_told_before_a_node_is_bought() -> None:
    wrong = {"training_config.yaml": "training_config: {LoraConfig: {rank: 8}}"}
    decision = decided(workspace("phi-4", tuning=True, configs=wrong))
    assert (decision.plan, decision.condition.reason) == (None, Reason.INVALID_CONFIG)
    assert "LoraConfig has no key 'rank'" in decision.condition.message


def test_a_model_that_is_quantized_already_is_not_tuned() -> None:
    decision = decided(workspace("gpt-oss-20b", tuning=True))
    assert (decision.plan, decision.condition.reason) == (None, Reason.MODEL_NOT_TUNABLE)


def test_a_plan_of_a_version_that_did_not_tune_is_made_anew() -> None:
    state = workspace("phi-4", tuning=True)
    old = planned(state).model_copy(update={"tuning": None})
    assert planned(state, previous=old).tuning is not None


def test_tuning_is_rehearsed_on_simulated_machines() -> None:
    assert planned(workspace("phi-4", tuning=True), (FAKE,)).simulated

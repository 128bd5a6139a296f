"""What the scheduler decides for a model that is not in the catalogue, by what the hub says of it."""

from __future__ import annotations

from services.contracts.conditions import Reason
from services.contracts.plan import Plan
from services.scheduler.decide import Decision, decide, stands
from services.scheduler.facts import ModelFacts
from services.scheduler.refusal import Refusal
from tests.unit.planning import CATALOGUE, CLOUD, KNOWN, NOW, decided, workspace

SMALL = ModelFacts(
    id="acme/small-1b", revision="a" * 40, license="mit", weights_gib=2.3, disk_gib=83, context=4096,
    architecture="LlamaForCausalLM", layers=16, heads=32, kv_heads=8, head_dim=64,
)  # fmt: skip
PENDING = Refusal(reason=Reason.MODEL_FACTS_PENDING, message="It is being read.", waits=True, again=0.5)


class TestModelsOfTheHub:
    """A model that is not in the catalogue."""

    def hub(self, found: ModelFacts | Refusal, previous: Plan | None = None, **more: object) -> Decision:
        state = workspace("acme/small-1b", **more)  # type: ignore[arg-type]  # handed through as they are
        return decide(state, previous, (CLOUD,), CATALOGUE, KNOWN, (), NOW, found)

    def test_one_is_planned_at_its_commit(self) -> None:
        plan = self.hub(SMALL).plan
        assert plan is not None
        assert plan.model is not None
        assert (plan.model.id, plan.model.revision, plan.instance_type) == ("acme/small-1b", "a" * 40, "A10")

    def test_one_that_is_being_read_is_looked_at_again_soon(self) -> None:
        decision = self.hub(PENDING)
        assert (decision.plan, decision.condition.reason, decision.again) == (None, Reason.MODEL_FACTS_PENDING, 0.5)

    def test_a_plan_that_stands_needs_no_facts(self) -> None:
        plan = self.hub(SMALL).plan
        assert stands(workspace("acme/small-1b"), plan, ())
        assert self.hub(PENDING, plan).plan == plan

    def test_without_a_hub_it_is_unknown(self) -> None:
        assert decided(workspace("acme/small-1b")).condition.reason == Reason.UNKNOWN_PRESET

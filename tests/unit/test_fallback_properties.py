"""Falling back, whatever fails and in whatever order: never two sets of nodes, and an end that works or says why."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from services.contracts.errors import Failure, FailureCode
from services.contracts.messages import Demand, Report
from services.contracts.offers import Offers
from services.contracts.plan import Plan
from services.contracts.subjects import ServiceName
from services.scheduler.decide import Decision
from services.scheduler.demands import demands_for
from tests.unit.planning import NOW, decided, gpu, workspace

SPENDING = [code for code in FailureCode if code.spends_offer]
SIZES = [gpu("tiny", 4, 0.1), *(gpu(name, 79, price) for name, price in (("a", 1.0), ("b", 1.0), ("c", 2.5)))]
STATE = workspace()

outcomes = st.fixed_dictionaries(
    {(cloud, size.instance_type): st.none() | st.sampled_from(SPENDING) for cloud in ("x", "y") for size in SIZES}
)
"""What becomes of each offer of two clouds: None where it works."""


class World:
    """The demands as the providers see them, and what they report."""

    def __init__(self, fates: dict[tuple[str, str], FailureCode | None]) -> None:
        self.fates = fates
        self.demands: dict[str, Demand] = {}
        self.plan: Plan | None = None
        self.reports: list[Report] = []
        self.decision: Decision | None = None
        self.seconds = 0

    def decide(self, *, reports: Sequence[Report]) -> None:
        """One pass of the scheduler, a second after the last."""
        self.seconds += 1
        now = NOW + timedelta(seconds=self.seconds)
        offers = tuple(Offers(provider=name, offers=tuple(SIZES), published_at=now) for name in ("x", "y"))
        self.decision = decided(STATE, offers, self.plan, tuple(reports), now)
        self.plan = self.decision.plan
        for demand in demands_for(STATE, self.plan) if self.plan else ():
            self.demands[demand.provider] = demand
            assert sum(d.nodes > 0 for d in self.demands.values()) <= 1, "two providers were asked for nodes"

    def serve(self) -> None:
        """The provider that is asked reports how it went."""
        for demand in self.demands.values():
            fate = self.fates[demand.provider, demand.instance_type]
            if demand.nodes and fate:
                self.reports.append(_failed(demand, fate))

    @property
    def works(self) -> bool:
        """Whether the present plan's offer does."""
        return self.plan is not None and self.fates[self.plan.provider, self.plan.instance_type] is None


def _failed(demand: Demand, code: FailureCode) -> Report:
    words = f"{demand.instance_type} has met {code}"
    return Report(
        namespace=demand.namespace, name=demand.name, uid=demand.uid, generation=demand.generation,
        plan_revision=demand.plan_revision, provider=demand.provider, service=ServiceName.PROVISIONER,
        failure=Failure(code=code, message=words, instance_type=demand.instance_type),
    )  # fmt: skip


@given(outcomes, st.lists(st.permutations(range(20)), min_size=1, max_size=4))
def test_it_ends_at_an_offer_that_works_or_at_a_plain_reason(
    fates: dict[tuple[str, str], FailureCode | None], orders: list[list[int]]
) -> None:
    world = World(fates)
    for turn in range(2 * len(fates)):
        order = orders[turn % len(orders)]
        heard = [report for _, report in sorted(zip(order, world.reports, strict=False), key=lambda pair: pair[0])]
        world.decide(reports=heard)  # also what was said of plans of before, in any order
        world.decide(reports=heard)
        world.serve()
    assert world.decision is not None
    fitting = [key for key in fates if key[1] != "tiny"]
    if any(fates[key] is None for key in fitting):
        assert world.works
        return
    assert not world.works
    assert all(f"{size} has met" in world.decision.condition.message for _, size in fitting)
    assert world.decision.again


@given(outcomes)
def test_no_offer_is_tried_twice_while_it_is_set_aside(fates: dict[tuple[str, str], FailureCode | None]) -> None:
    world = World(fates)
    tried: list[tuple[str, str]] = []
    for _ in range(2 * len(fates)):
        world.decide(reports=world.reports)
        assert world.plan is not None
        if not tried or tried[-1] != (world.plan.provider, world.plan.instance_type):
            tried.append((world.plan.provider, world.plan.instance_type))
        world.serve()
    assert len(tried) == len(set(tried))


@given(outcomes)
def test_each_plan_says_which_offers_failed_before_it(fates: dict[tuple[str, str], FailureCode | None]) -> None:
    world = World(fates)
    for _ in range(2 * len(fates)):
        world.decide(reports=world.reports)
        assert world.plan is not None
        told = " ".join(world.plan.why)
        assert all(f"{a.instance_type} of {a.provider} failed ({a.code}" in told for a in world.plan.set_aside)
        world.serve()

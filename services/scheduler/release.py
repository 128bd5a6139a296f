"""Taking a workspace down, in order: first its workload, then its nodes. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from services.contracts.base import Contract
from services.contracts.messages import Demand, PlanState, Report, WorkspaceState
from services.contracts.plan import Plan
from services.contracts.subjects import ServiceName


class Release(Contract):
    """What to publish now. `done` means that nothing is left of the workspace."""

    plan: PlanState | None = None
    demands: tuple[Demand, ...] = ()
    done: bool = False
    waiting_for: str = ""


def release(state: WorkspaceState, plan: Plan | None, reports: Sequence[Report]) -> Release:
    """The next step of taking down. `reports` are the newest of the deployer and of each provider's provisioner."""
    if plan is None:
        return Release(done=True)
    retired = PlanState(
        namespace=state.namespace, name=state.name, uid=state.uid, generation=state.generation, plan=plan, retired=True
    )
    own = [r for r in reports if r.uid == state.uid]
    if not any(r.released for r in own if r.service is ServiceName.DEPLOYER):
        return Release(plan=retired, waiting_for="the workload to end")
    demands = tuple(let_go(state, plan, provider) for provider in plan.providers)
    let_gone = {r.provider for r in own if r.service is ServiceName.PROVISIONER and r.released}
    missing = sorted(set(plan.providers) - let_gone)
    return Release(
        plan=retired,
        demands=demands,
        done=not missing,
        waiting_for=f"provider {', '.join(missing)} to let go of its nodes" if missing else "",
    )


def let_go(state: WorkspaceState, plan: Plan, provider: str) -> Demand:
    """The demand that tells a provider to let go of all nodes of this workspace."""
    return Demand(
        namespace=state.namespace,
        name=state.name,
        uid=state.uid,
        generation=state.generation,
        plan_revision=plan.revision,
        provider=provider,
        nodes=0,
        instance_type=plan.instance_type,
    )

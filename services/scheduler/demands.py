"""The demands of a plan: nodes of its provider, and none of those that were asked before. Pure."""

from __future__ import annotations

from services.contracts.messages import Demand, WorkspaceState
from services.contracts.plan import Plan
from services.contracts.workspace import ANNOTATION_NODE_IMAGE_FAMILY
from services.scheduler.release import let_go


def demands_for(state: WorkspaceState, plan: Plan) -> list[Demand]:
    """First the old providers let go, so that there are never two sets of nodes, then the present one is asked.

    Nothing is asked for before the workspace is held: it could go, and a namesake's word hide that it has.
    """
    if not state.held:
        return []
    old = [let_go(state, plan, provider) for provider in plan.providers if provider != plan.provider]
    return [*old, _wanted(state, plan)]


def _wanted(state: WorkspaceState, plan: Plan) -> Demand:
    return Demand(
        namespace=state.namespace,
        name=state.name,
        uid=state.uid,
        generation=state.generation,
        plan_revision=plan.revision,
        provider=plan.provider,
        nodes=plan.nodes,
        instance_type=plan.instance_type,
        gpus=plan.pod.gpus if plan.shares_node else None,
        labels=plan.node_labels,
        taints=plan.taints,
        disk_gib=plan.disk_gib,
        image_family=state.annotations.get(ANNOTATION_NODE_IMAGE_FAMILY),
        preferred_nodes=state.spec.resource.preferred_nodes or (),
        parameters=parameters(state, plan.provider),
    )


def parameters(state: WorkspaceState, provider: str) -> dict[str, str]:
    """The workspace's annotations that only this provider understands, without their prefix."""
    prefix = f"{provider}.kaito.sh/"
    return {key.removeprefix(prefix): value for key, value in state.annotations.items() if key.startswith(prefix)}


def asks_for_spot(state: WorkspaceState, provider: str) -> bool:
    """Whether the workspace wants spot machines, in either of the words that providers have for it."""
    found = parameters(state, provider)
    return found.get("spot", "").lower() == "true" or found.get("capacity-type", "").strip().lower() == "spot"

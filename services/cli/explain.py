"""What the engine of a plan would be started with, and why: flags and environment variables. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from services.chassis.kube.objects import JsonObject
from services.contracts.messages import PlanState, WorkspaceState
from services.contracts.plan import Plan
from services.deployer.command import Setting, flags
from services.deployer.environment import variables

OF_THE_WORKSPACE = {"TRACEPARENT": "(made of the Workspace's uid)"}
"""Variables whose value is known only once the Workspace is applied."""
BESIDES = "Where the deployer has a mirror of the hub or an endpoint for traces, the engine is told of them as well."


@dataclass(frozen=True)
class Explained:
    """The settings of one engine, each with its reason; none for a pod of the user's own."""

    flags: tuple[Setting, ...] = ()
    environment: tuple[Setting, ...] = ()

    def to_json(self) -> JsonObject:
        """For programs."""
        return {
            "flags": [{"name": f"--{s.name}", "value": s.value, "why": s.why} for s in self.flags],
            "environment": [{"name": s.name, "value": s.value, "why": s.why} for s in self.environment],
        }


def explain(state: WorkspaceState, plan: Plan) -> Explained:
    """The settings as the deployer renders them, where it has no settings of its own."""
    if plan.model is None or plan.engine is None:
        return Explained()
    planned = PlanState(
        namespace=state.namespace, name=state.name, uid=state.uid, generation=state.generation, plan=plan
    )
    found = variables(planned, plan.model, plan.engine, hub=None, otlp_endpoint=None)
    return Explained(
        flags=tuple(flags(plan.model, plan.engine)),
        environment=tuple(v._replace(value=OF_THE_WORKSPACE.get(v.name, v.value)) for v in found),
    )

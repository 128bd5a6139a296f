"""What the server is told of itself: what it serves, how many at once, how long it may take to end. Pure.

The plan's revision is not there: it changes with what the pod has no part in, and the pod would start anew.
"""

from __future__ import annotations

from services.contracts.messages import PlanState
from services.contracts.plan import PlannedModel
from services.contracts.serving import ANNOTATION_MAX_REQUESTS
from services.deployer.command import Setting

GRACE_SECONDS = 60
"""What a pod has to end."""
DRAIN_SECONDS = 50
"""Of these, what running requests have to finish; the engine needs the rest to end."""
_TOLD = "The server tells it in /v1/models."


def serving_environment(state: PlanState, model: PlannedModel) -> list[Setting]:
    """The variables with their reasons."""
    plan = state.plan
    drain = f"Running requests may take that long at the end: the pod has {GRACE_SECONDS} s."
    found = [
        Setting("KAITOBUS_DRAIN_SECONDS", str(DRAIN_SECONDS), drain),
        Setting("KAITOBUS_GENERATION", str(plan.generation), _TOLD),
        Setting("KAITOBUS_INSTANCE_TYPE", plan.instance_type, _TOLD),
        Setting("KAITOBUS_MODEL", model.id, _TOLD),
        Setting("KAITOBUS_WEIGHTS_GIB", f"{model.weights_gib:g}", "The download's progress is told of so much."),
        Setting("KAITOBUS_WORKSPACE", f"{state.namespace}/{state.name}", _TOLD),
    ]
    if model.revision:
        found.append(Setting("KAITOBUS_MODEL_REVISION", model.revision, _TOLD))
    if plan.serving.max_requests:
        reason = f"The annotation {ANNOTATION_MAX_REQUESTS} says so."
        found.append(Setting("KAITOBUS_MAX_REQUESTS", str(plan.serving.max_requests), reason))
    return found

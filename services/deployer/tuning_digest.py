"""Whether a Job that is there is the one of a plan. Pure.

Two digests stand in the Job's annotations: of what the user asked for, and of how and where that is run. A run that
has not come to its end is begun anew when either changes: it would be pinned to nodes that are no more wanted. One
that has is kept while the user asks for the same, whatever has become of its nodes. Neither depends on the image.
"""

from __future__ import annotations

import hashlib
import json
from typing import Final

from services.chassis.kube import JsonObject, dig_str
from services.contracts.plan import Plan, PlannedModel
from services.contracts.tuning import PlannedTuning
from services.deployer.job_end import is_complete

ASKED: Final = "kaito.sh/tuning-asked"
"""Annotation of the Job: the digest of what the user asked for."""
RUN: Final = "kaito.sh/tuning-run"
"""Annotation of the Job: the digest of how and where it is run."""


def parts_of(plan: Plan) -> tuple[PlannedModel, PlannedTuning]:
    """The model, and how it is tuned. Raises ValueError for a plan of another kind."""
    if plan.model is None or plan.tuning is None:
        raise ValueError("a plan for tuning names a model and how it is tuned")
    return plan.model, plan.tuning


def digests(plan: Plan) -> dict[str, str]:
    """Both digests by their annotations."""
    return {ASKED: _digest(_asked(plan)), RUN: _digest(_run(plan))}


def fits(job: JsonObject, plan: Plan) -> bool:
    """Whether the Job is what the plan wants, or has been."""
    wanted = digests(plan)
    asked, run = (dig_str(job, "metadata", "annotations", name) == wanted[name] for name in (ASKED, RUN))
    return asked and (run or is_complete(job))


def _asked(plan: Plan) -> list[object]:
    """A rehearsal is no run of the same. Under which secret something may be read makes it no other."""
    model, tuning = parts_of(plan)
    source = tuning.input.model_copy(update={"image_pull_secrets": None})
    output = tuning.output.model_copy(update={"image_push_secret": None})
    origin = model.source.to_dict() if model.source else None
    return [
        (model.id, model.revision, origin, plan.simulated),
        (tuning.method, tuning.config),
        (source.to_dict(), output.to_dict()),
    ]


def _run(plan: Plan) -> list[object]:
    model, tuning = parts_of(plan)
    return [
        plan.node_labels,
        sorted(plan.taints),
        sorted(plan.tolerates),
        plan.pod.to_dict(),
        (model.token_secret, tuning.input.image_pull_secrets, tuning.output.image_push_secret),
    ]


def _digest(parts: list[object]) -> str:
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]

"""When the hub is asked, for what, and what is added to its answer. Pure."""

from __future__ import annotations

from typing import NamedTuple

from services.contracts.conditions import Reason
from services.contracts.messages import WorkspaceState
from services.contracts.plan import Plan
from services.scheduler.catalog import Catalogue
from services.scheduler.facts import ModelFacts, Unknown
from services.scheduler.hub.model_id import is_model_id
from services.scheduler.refusal import Refusal


class Ask(NamedTuple):
    """A model by its id, the commit it was pinned to before, and the secret whose token opens it."""

    model: str
    revision: str | None = None
    namespace: str = ""
    secret: str | None = None

    @property
    def key(self) -> tuple[str, str | None, str, str | None]:
        """What an answer is remembered by. What one token opens is not told to who has another, or none."""
        return (self.model.lower(), self.revision, self.namespace if self.secret else "", self.secret)


def ask_for(state: WorkspaceState, plan: Plan | None, catalogue: Catalogue) -> Ask | None:
    """What to ask for a workspace's model; None where the catalogue has it, or the hub cannot.

    A model that was planned before stays at the commit of its plan.
    """
    preset = state.spec.preset
    if preset is None or not is_model_id(preset.name) or not isinstance(catalogue.resolve(preset.name), Unknown):
        return None
    planned = plan.model if plan and plan.fixed.preset == preset.name.lower() else None
    options = preset.preset_options
    return Ask(
        model=preset.name,
        revision=planned.revision if planned else None,
        namespace=state.namespace,
        secret=options.model_access_secret if options else None,
    )


def hinted(found: ModelFacts | Refusal, catalogue: Catalogue, name: str) -> ModelFacts | Refusal:
    """The same; where there are no facts, with the names of the catalogue that look like the one asked for."""
    unknown = catalogue.resolve(name)
    if isinstance(found, ModelFacts) or found.reason is Reason.MODEL_FACTS_PENDING or not isinstance(unknown, Unknown):
        return found
    return found.model_copy(update={"message": f"{found.message}{unknown.hint}"})

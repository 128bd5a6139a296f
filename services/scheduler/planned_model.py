"""The model of a plan, and where its files come from. Pure."""

from __future__ import annotations

from services.contracts.messages import WorkspaceState
from services.contracts.model_source import ModelSource, local_weights, named_source, wants_local_weights
from services.contracts.plan import PlannedModel
from services.scheduler.facts import ModelFacts


def planned_model(state: WorkspaceState, model: ModelFacts) -> PlannedModel:
    """The model as it is served. Raises BadSource."""
    preset = state.spec.preset
    options = preset.preset_options if preset else None
    return PlannedModel(
        id=model.id,
        name=model.name,
        revision=model.revision,
        weights_gib=model.weights_gib,
        token_secret=options.model_access_secret if options else None,
        source=_source(state, model),
    )


def _source(state: WorkspaceState, model: ModelFacts) -> ModelSource | None:
    """Where the files come from: what the Workspace says, else the preset's image, else the hub (None)."""
    if wants_local_weights(state.annotations):
        return local_weights(model.id)
    preset = state.spec.preset
    named = named_source(preset, state.annotations) if preset else None
    return named or (ModelSource(image=model.image) if model.image else None)


def source_words(model: PlannedModel | None) -> tuple[str, ...]:
    """A sentence for the user, where the files do not come from the hub."""
    return (f"The model's files come from {model.source.words}.",) if model and model.source else ()

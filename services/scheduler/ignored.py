"""What the user wrote and a plan does not follow: told as warnings, since money may hang on it. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from services.contracts.workspace import ANNOTATION_PROVIDER, PROVIDER_EXISTING, WorkspaceSpec
from services.scheduler.candidates import Candidate


def ignored(spec: WorkspaceSpec, chosen: Candidate) -> Iterator[str]:
    """Sentences on the parts of `resource` that count for nothing here."""
    count, preferred = spec.resource.count or 1, spec.resource.preferred_nodes or ()
    if spec.preset is not None and count not in (1, chosen.nodes):
        nodes = f"{chosen.nodes} node" if chosen.nodes == 1 else f"{chosen.nodes} nodes"
        yield (
            f"resource.count is {count}, and the plan has {nodes}: for a preset the number follows from the model's "
            "size. For more servers of one model make more Workspaces."
        )
    if preferred and chosen.provider != PROVIDER_EXISTING:
        yield (
            f"resource.preferredNodes names nodes that exist ({', '.join(preferred)[:200]}), and {chosen.provider} "
            f"makes new ones. To use those, add the annotation {ANNOTATION_PROVIDER}: {PROVIDER_EXISTING}."
        )

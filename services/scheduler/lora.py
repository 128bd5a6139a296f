"""LoRA adapters in a plan: who gets room for them, and what a change of them does to the server. Pure.

With room for adapters the engine takes and gives them up while it runs. The room itself, and what is mounted into the
pod, cannot change without a new start.
"""

from __future__ import annotations

from typing import Final

from services.contracts.adapters import PlannedAdapter, PlannedLora
from services.contracts.messages import WorkspaceState
from services.contracts.model_source import BadSource, image_source
from services.contracts.plan import Plan
from services.contracts.workspace import Adapter, WorkspaceSpec
from services.scheduler.chosen import Chosen, Flags
from services.scheduler.facts import ModelFacts
from services.scheduler.sizing import Wish

SLOTS: Final = 4
"""Adapters that one batch of requests may use, where the user does not say (vllm.max-loras). The engine sets their
memory aside. More adapters than slots are served too: their requests take turns."""
KEPT: Final = 16
"""Adapters that the engine keeps in the host's memory: more than a Workspace can name, so none is read again."""


def lora_flags(wish: Wish) -> Flags:
    """The engine's flags for the room that was sized; none without it."""
    if not wish.adapters:
        return {}
    kept = max(KEPT, wish.adapters)
    return {
        "enable-lora": Chosen("", "There is room for adapters, which come and go while the server runs."),
        "max-loras": Chosen(str(wish.adapters), "So many may be used in one batch; their memory is set aside."),
        "max-lora-rank": Chosen(str(wish.adapter_rank), "Adapters of higher ranks are refused; most have 8 to 32."),
        "max-cpu-loras": Chosen(str(kept), "More than a Workspace can name, so that none is read again."),
    }


def named_adapters(state: WorkspaceState) -> tuple[Adapter, ...]:
    """The adapters that a Workspace names."""
    return (state.spec.inference.adapters or ()) if state.spec.inference else ()


def without_adapters(spec: WorkspaceSpec) -> WorkspaceSpec:
    """The part of a spec by which nodes and the engine are planned."""
    if spec.inference is None or not spec.inference.adapters:
        return spec
    return spec.model_copy(update={"inference": spec.inference.model_copy(update={"adapters": None})})


def plan_lora(state: WorkspaceState, model: ModelFacts, wish: Wish, held: Plan | None) -> PlannedLora | None:
    """The adapters of a new plan; None where there is to be no room for any. Raises BadSource."""
    if not wish.adapters:
        return None
    adapters = _planned(state, (model.name, model.id))
    why = f"There is room for {wish.adapters} adapters in a batch, of ranks up to {wish.adapter_rank}. "
    if held is not None and held.lora is None and held.model is not None:
        why += "For the first adapter the server starts anew; from then on they come and go while it runs."
    else:
        why += "Adapters come and go while the server runs."
    return PlannedLora(adapters=adapters, pull_secrets=_secrets(adapters), why=why)


def with_adapters(plan: Plan, state: WorkspaceState) -> Plan:
    """A plan that stands, with the adapters that are wanted now; itself where they are the same. Raises BadSource.

    Its generation stays: the pod carries that in its environment, and would start anew with another.
    """
    if plan.lora is None or plan.model is None:
        return plan
    adapters = _planned(state, (plan.model.name, plan.model.id))
    if adapters == plan.lora.adapters:
        return plan
    secrets = tuple(dict.fromkeys((*plan.lora.pull_secrets, *_secrets(adapters))))
    lora = PlannedLora(adapters=adapters, pull_secrets=secrets)
    lora = lora.model_copy(update={"why": _way(plan.lora, lora)})
    return plan.model_copy(update={"lora": lora})


def _way(before: PlannedLora, after: PlannedLora) -> str:
    """How a change reaches the server."""
    mounted = [f"secret {name}" for name in after.pull_secrets if name not in before.pull_secrets]
    users = {a.volume_key: a.name for a in (*before.adapters, *after.adapters)}
    mounted += [f"the volume of adapter {users[key]}" for key in after.volumes if key not in before.volumes]
    gone = [f"the volume of adapter {users[key]}" for key in before.volumes if key not in after.volumes]
    if not mounted and not gone:
        return "The adapters are changed while the server runs."
    parts = [f"{' and '.join(names)} {verb}" for names, verb in ((mounted, "comes in"), (gone, "goes")) if names]
    return f"The server starts anew for the change of adapters, because of its mounts: {', '.join(parts)}."


def _planned(state: WorkspaceState, base: tuple[str, str]) -> tuple[PlannedAdapter, ...]:
    return tuple(_one(adapter, f"inference.adapters[{i}]", base) for i, adapter in enumerate(named_adapters(state)))


def _one(adapter: Adapter, where: str, base: tuple[str, str]) -> PlannedAdapter:
    source = adapter.source
    if source is None or not source.name:
        raise BadSource(f"{where}.source needs a name: requests choose the adapter by it.")
    if source.name in base:
        raise BadSource(
            f"{where} has the name of the model itself, {source.name}: requests could not choose between them. "
            "Give the adapter another name."
        )
    secrets = source.image_pull_secrets or ()
    image = image_source(source.image, secrets, f"{where}.source.image").image if source.image else None
    return PlannedAdapter(
        name=source.name,
        strength=float(adapter.strength if adapter.strength is not None else "1"),
        image=image,
        pull_secrets=secrets if image else (),
        urls=source.urls or (),
        volume=source.volume_source,
    )


def _secrets(adapters: tuple[PlannedAdapter, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for adapter in adapters for name in adapter.pull_secrets))

"""Where a server keeps what it has compiled for its model, so that its next start need not compile it again. Pure.

vLLM keeps compiled graphs, kernels, and what it learned of a model's class below VLLM_CACHE_ROOT, in folders named by
all that they were made from (version, settings, source code). It runs what it finds there, so nobody else may write
there: on a node each Workspace has a folder of its own, which is the only one that its pods see.
"""

from __future__ import annotations

from services.chassis.kube import JsonObject
from services.contracts.messages import PlanState
from services.contracts.plan import Plan, Runtime
from services.contracts.serving import Claim
from services.deployer.command import Setting
from services.deployer.weights import PodParts

COMPILED = "/workspace/compiled"
_WHY = (
    "What is compiled is kept in a volume: of the pod, or of the node or the claim that is named for it. "
    "A start that finds it there is a warm one."
)


def compiled_environment(plan: Plan) -> list[Setting]:
    """Where the engine looks for it."""
    return [Setting("VLLM_CACHE_ROOT", COMPILED, _WHY)] if _compiles(plan) else []


def compiled_parts(state: PlanState, folder: str | None) -> PodParts:
    """The volume: the claim that the Workspace names, else its own folder in a folder of the node, else the pod's."""
    if not _compiles(state.plan):
        return PodParts()
    claim, mount = state.plan.serving.compile_cache, {"name": "compiled", "mountPath": COMPILED}
    if claim:
        return PodParts(volumes=(_of_claim(claim),), mounts=(mount | {"subPath": _inside(claim, state.plan)},))
    host: JsonObject = {"path": f"{folder}/{state.namespace}/{state.name}", "type": "DirectoryOrCreate"}
    volume: JsonObject = {"hostPath": host} if folder else {"emptyDir": {}}
    return PodParts(volumes=({"name": "compiled", **volume},), mounts=(mount,))


def _compiles(plan: Plan) -> bool:
    return plan.engine is not None and plan.engine.runtime is Runtime.VLLM


def _of_claim(claim: Claim) -> JsonObject:
    return {"name": "compiled", "persistentVolumeClaim": {"claimName": claim.name}}


def _inside(claim: Claim, plan: Plan) -> str:
    """Nodes of different hardware may share the claim: what is compiled for one is not for the other."""
    return "/".join(part for part in (claim.folder, plan.instance_type) if part)

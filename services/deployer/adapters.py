"""How adapters get to the server: a ConfigMap that lists them, and what a pod needs to fetch them. Pure.

The list is a file that the server reads again and again. It is mounted as a folder, since kubelets refresh those while
the pod runs, so a change of the list changes nothing in the pod. Only secrets and volumes must be mounted.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping

from services.chassis.kube import JsonObject
from services.contracts.adapters import PlannedAdapter, PlannedLora
from services.contracts.messages import PlanState
from services.deployer.command import Setting
from services.deployer.weights import WEIGHTS, PodParts

FILE = "adapters.json"
_LIST = "/workspace/adapters"
_SECRETS = "/workspace/adapter-secrets"
_VOLUMES = "/workspace/adapter-volumes"


def config_map_name(workspace: str) -> str:
    """The name of the ConfigMap with a workspace's adapters."""
    return f"{workspace}-adapters"


def adapter_list(state: PlanState) -> str | None:
    """The content of the file; None for a server that has no room for adapters."""
    if state.plan.lora is None or state.plan.model is None:
        return None
    adapters = [_entry(adapter) for adapter in state.plan.lora.adapters]
    return json.dumps({"base": state.plan.model.id, "adapters": adapters}, indent=1)


def list_revision(text: str) -> str:
    """By what the server tells which list it has read."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def adapter_parts(lora: PlannedLora | None, workspace: str) -> PodParts:
    """The volumes and mounts that adapters add to the pod. A secret that is missing does not hold up the pod."""
    if lora is None:
        return PodParts()
    listed = {"configMap": {"name": config_map_name(workspace), "optional": True}}
    volumes: list[JsonObject] = [{"name": "adapters", **listed}]
    mounts = [_mount("adapters", _LIST)]
    for at, secret in enumerate(lora.pull_secrets):
        source = {"secretName": secret, "defaultMode": 0o400, "optional": True}
        volumes.append({"name": f"adapter-secret-{at}", "secret": source})
        mounts.append(_mount(f"adapter-secret-{at}", f"{_SECRETS}/{secret}"))
    for key, volume in sorted(lora.volumes.items()):
        volumes.append({"name": f"adapter-volume-{key}", **volume})
        mounts.append(_mount(f"adapter-volume-{key}", f"{_VOLUMES}/{key}"))
    return PodParts(volumes=tuple(volumes), mounts=tuple(mounts))


def adapter_environment(lora: PlannedLora | None, urls: Mapping[str, str]) -> list[Setting]:
    """Where the server finds the list, secrets by name, volumes by key, and a place for the adapters' files.

    `urls` says which addresses it may fetch from.
    """
    if lora is None:
        return []
    mounts = {
        "secrets": {name: f"{_SECRETS}/{name}" for name in lora.pull_secrets},
        "volumes": {key: f"{_VOLUMES}/{key}" for key in sorted(lora.volumes)},
    }
    return [
        *(
            Setting(name, value, "The deployer's own setting: where adapters may come from.")
            for name, value in urls.items()
        ),
        Setting(
            "KAITOBUS_ADAPTERS", f"{_LIST}/{FILE}", "The list of adapters, which the server reads again and again."
        ),
        Setting("KAITOBUS_ADAPTERS_DIR", f"{WEIGHTS}/adapters", "Adapters are kept beside the weights."),
        Setting("KAITOBUS_ADAPTER_MOUNTS", json.dumps(mounts), "Where their secrets and volumes are mounted."),
    ]


def _entry(adapter: PlannedAdapter) -> JsonObject:
    entry: JsonObject = {"name": adapter.name, "strength": adapter.strength}
    if adapter.image:
        entry |= {"image": adapter.image, "pullSecrets": list(adapter.pull_secrets)}
    if adapter.urls:
        entry["urls"] = list(adapter.urls)
    if adapter.volume_key:
        entry["volume"] = adapter.volume_key
    return entry


def _mount(name: str, path: str) -> JsonObject:
    return {"name": name, "mountPath": path, "readOnly": True}

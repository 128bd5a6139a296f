"""The Job of a plan that tunes: one pod that trains, whose volume outlives each restart of its container. Pure."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Final

from services.chassis.kube import JsonObject
from services.contracts.identity import traceparent
from services.contracts.messages import PlanState
from services.contracts.plan import Plan
from services.contracts.tuning import PlannedTuning
from services.contracts.workspace import SECRET_KEY_HF_TOKEN
from services.deployer.command import PORT
from services.deployer.manifests import Images, object_metadata, pinned, pod_resources
from services.deployer.serving import GRACE_SECONDS
from services.deployer.tuning_digest import digests, parts_of
from services.deployer.weights import MODEL, WEIGHTS, weights_parts

CONTAINER: Final = "tuning"
COMMAND: Final = "kaitobus-tune"
"""Of services/inference; on PATH in the image."""
CONFIG_ENV: Final = "KAITOBUS_TUNING"
RETRIES: Final = 6
"""Ends of the container that are followed by another try; Kubernetes makes growing pauses between them."""
_WORK: Final = "/workspace/tuning"
_DATA: Final = "/workspace/tuning-data"
_OUTPUT: Final = "/mnt/results"
_SECRETS: Final = "/workspace/tuning-secrets"


def render_job(state: PlanState, images: Images) -> JsonObject:
    """The Job, named as the Workspace."""
    metadata = object_metadata(state, state.name)
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": metadata | {"annotations": digests(state.plan)},
        "spec": {
            "backoffLimit": RETRIES,
            "completions": 1,
            "parallelism": 1,
            "template": pinned(state, {}, _pod(state, images)),
        },
    }


def arguments(plan: Plan, name: str) -> list[str]:
    """The command line of `kaitobus-tune`. The same plan gives the same line."""
    model, tuning = parts_of(plan)
    flags = [
        f"--model={MODEL if model.source else model.id}",
        f"--model-name={model.id}",
        f"--method={tuning.method}",
        f"--processes={max(1, plan.pod.gpus)}",
        f"--work={_WORK}",
        f"--port={PORT}",
    ]
    flags += [f"--revision={model.revision}"] if model.revision and not model.source else []
    return [*map(_literal, (*flags, *_input(tuning))), *_output(tuning, name)]


def _input(tuning: PlannedTuning) -> list[str]:
    source = tuning.input
    if source.image:
        return [f"--data-image={source.image}", *_secret_flags("pull", source.image_pull_secrets or ())]
    if source.volume_source is not None:
        return [f"--data-folder={_DATA}"]
    return [f"--data-url={url}" for url in source.urls or ()]


def _output(tuning: PlannedTuning, name: str) -> list[str]:
    output = tuning.output
    if output.image:
        secrets = (output.image_push_secret,) if output.image_push_secret else ()
        return [_literal(f"--push-image={output.image}"), *_secret_flags("push", secrets)]
    return [f"--into={_OUTPUT}/{name}", f"--checkpoints={_OUTPUT}/.{name}.checkpoints"]


def _secret_flags(use: str, secrets: Sequence[str]) -> list[str]:
    return [f"--{use}-secret={_SECRETS}/{use}-{at}" for at in range(len(secrets))]


def _literal(text: str) -> str:
    """Kubernetes would put a variable in the place of $(NAME)."""
    return text.replace("$(", "$$(")


def _pod(state: PlanState, images: Images) -> JsonObject:
    _, tuning = parts_of(state.plan)
    weights = weights_parts(state.plan, images.inference, images.weights)
    volumes, mounts = _volumes(tuning)
    return {
        **weights.spec,
        "restartPolicy": "OnFailure",  # in the same pod, so that its volume with the checkpoints is kept
        "terminationGracePeriodSeconds": GRACE_SECONDS,
        "automountServiceAccountToken": False,
        "containers": [
            {
                "name": CONTAINER,
                "image": images.inference,
                "command": [COMMAND],
                "args": arguments(state.plan, state.name),
                "env": _environment(state, images),
                "ports": [{"name": "http", "containerPort": PORT, "protocol": "TCP"}],
                "resources": pod_resources(state.plan),
                "volumeMounts": [
                    {"name": "dshm", "mountPath": "/dev/shm"},  # noqa: S108 - the mount point that NCCL expects
                    {"name": "weights", "mountPath": WEIGHTS},
                    {"name": "work", "mountPath": _WORK},
                    *mounts,
                    *weights.mounts,
                ],
                "terminationMessagePolicy": "FallbackToLogsOnError",
                "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
            }
        ],
        "volumes": [
            {"name": "dshm", "emptyDir": {"medium": "Memory"}},
            {"name": "weights", "emptyDir": {}},
            {"name": "work", "emptyDir": {}},
            *volumes,
            *weights.volumes,
        ],
    }


def _volumes(tuning: PlannedTuning) -> tuple[list[JsonObject], list[JsonObject]]:
    """Volumes of the data, the result and the secrets, and where they are mounted."""
    volumes: list[JsonObject] = []
    mounts: list[JsonObject] = []
    if tuning.input.volume_source is not None:
        volumes.append({"name": "data", **tuning.input.volume_source})
        mounts.append({"name": "data", "mountPath": _DATA, "readOnly": True})
    if tuning.output.volume_source is not None:
        volumes.append({"name": "output", **tuning.output.volume_source})
        mounts.append({"name": "output", "mountPath": _OUTPUT})
    pulls = tuning.input.image_pull_secrets or () if tuning.input.image else ()
    pushes = (tuning.output.image_push_secret,) if tuning.output.image and tuning.output.image_push_secret else ()
    for use, names in (("pull", pulls), ("push", pushes)):
        for at, secret in enumerate(names):
            volume = f"{use}-{at}"
            mounted: JsonObject = {
                "secretName": secret,
                "defaultMode": 0o400,
                "optional": True,
            }  # the pod says it is missing
            volumes.append({"name": volume, "secret": mounted})
            mounts.append({"name": volume, "mountPath": f"{_SECRETS}/{volume}", "readOnly": True})
    return volumes, mounts


def _environment(state: PlanState, images: Images) -> list[JsonObject]:
    model, tuning = parts_of(state.plan)
    values = {
        CONFIG_ENV: _literal(json.dumps(tuning.config, sort_keys=True)),
        "HF_HOME": WEIGHTS,
        "TRACEPARENT": traceparent(state.uid, state.plan.generation),
        **images.urls,
    }
    if images.hub:
        values["HF_ENDPOINT"] = images.hub
    if model.source:
        values["HF_HUB_OFFLINE"] = "1"  # nothing is asked of the hub
    env: list[JsonObject] = [{"name": name, "value": value} for name, value in sorted(values.items())]
    if model.token_secret:
        source = {"secretKeyRef": {"name": model.token_secret, "key": SECRET_KEY_HF_TOKEN}}
        env.append({"name": "HF_TOKEN", "valueFrom": source})
    return env

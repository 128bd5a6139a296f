"""How a model's files get to the server when they do not come from the hub. Pure.

An init container, of the server's own image, pulls them from a registry, or looks at a volume that holds them. Then
the server finds them under `MODEL`. Where the cluster mounts images as volumes, it does that instead of the pull.
"""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field

from services.chassis.kube import JsonObject
from services.contracts.base import Contract
from services.contracts.model_source import ModelSource
from services.contracts.plan import Plan

INIT_CONTAINER = "weights"
COMMAND = "kaitobus-fetch"
"""Of services/inference; on PATH in the image."""
WEIGHTS = "/workspace/weights"
MODEL = f"{WEIGHTS}/model"
"""What the server is told to serve: a link to the files."""
_SOURCE = "/workspace/model-source"
_CACHE = "/workspace/model-cache"
_SECRETS = "/workspace/pull-secrets"
IMAGE_VOLUMES_SINCE = (1, 35)
"""The first Kubernetes that has image volumes switched on (kubernetes.io, 'Use an Image Volume With a Pod')."""


class WeightsSettings(Contract):
    """What the operator says. `cache` is a folder of each node that its pods share; without it each pod pulls.

    `image_volumes` says whether images are mounted as volumes, which the nodes' runtimes must be able to; None leaves
    it to the cluster's version.
    """

    cache: str | None = None
    image_volumes: bool | None = None

    def on(self, version: tuple[int, int]) -> WeightsSettings:
        """The same, decided for a cluster."""
        return self.model_copy(update={"image_volumes": version >= IMAGE_VOLUMES_SINCE})


class PodParts(Contract):
    """What a source adds to a pod: to its spec, to its volumes, and to the mounts of the server."""

    spec: JsonObject = Field(default_factory=dict)
    volumes: tuple[JsonObject, ...] = ()
    mounts: tuple[JsonObject, ...] = ()

    def and_also(self, more: PodParts) -> PodParts:
        """Both together. Only one of them may have a part of the pod's spec."""
        spec = self.spec | more.spec
        return PodParts(spec=spec, volumes=(*self.volumes, *more.volumes), mounts=(*self.mounts, *more.mounts))


def weights_parts(plan: Plan, server_image: str, settings: WeightsSettings) -> PodParts:
    """What the plan's source adds to the pod; nothing where the files come from the hub."""
    source = plan.model.source if plan.model else None
    if source is None:
        return PodParts()
    if source.image and not settings.image_volumes:
        return _pulled(source, source.image, server_image, settings.cache, plan.disk_gib)
    return _mounted(source, server_image)


def _pulled(source: ModelSource, image: str, server_image: str, cache: str | None, disk_gib: int) -> PodParts:
    """An init container that pulls, with the pull secrets, which the server does not see."""
    secrets = [_secret(at, name) for at, name in enumerate(source.pull_secrets)]
    secret_mounts = [_mount(f"pull-secret-{at}", f"{_SECRETS}/{at}", read_only=True) for at in range(len(secrets))]
    store = _CACHE if cache else WEIGHTS
    cache_volume = [{"name": "model-cache", "hostPath": {"path": cache, "type": "DirectoryOrCreate"}}] if cache else []
    flags = [f"--image={image}", f"--store={store}"]
    flags += [f"--pull-secret={_SECRETS}/{at}" for at in range(len(secrets))]
    flags += [f"--max-gib={disk_gib}"] if disk_gib else []
    writes = [_mount("model-cache", _CACHE)] if cache else []
    reads = (_mount("model-cache", _CACHE, read_only=True),) if cache else ()
    return PodParts(
        spec={"initContainers": [_init(server_image, flags, [*writes, *secret_mounts])]},
        volumes=(*secrets, *cache_volume),
        mounts=reads,
    )


def _mounted(source: ModelSource, server_image: str) -> PodParts:
    """A volume with the files, read only; the init container looks at what they are."""
    mount = _mount("model-source", _SOURCE, read_only=True)
    if source.path:
        mount["subPath"] = source.path
    spec: JsonObject = {"initContainers": [_init(server_image, [f"--folder={_SOURCE}"], [mount])]}
    if source.pull_secrets:
        spec["imagePullSecrets"] = [{"name": name} for name in source.pull_secrets]
    return PodParts(spec=spec, volumes=({"name": "model-source", **_volume(source)},), mounts=(mount,))


def _volume(source: ModelSource) -> JsonObject:
    if source.image:
        return {"image": {"reference": source.image, "pullPolicy": "IfNotPresent"}}
    if source.folder:
        # A folder that is missing is made, so that the init container can say so; a pod would wait without a word.
        return {"hostPath": {"path": source.folder, "type": "DirectoryOrCreate"}}
    return dict(source.volume or {})


def _init(server_image: str, flags: Sequence[str], mounts: Sequence[JsonObject]) -> JsonObject:
    return {
        "name": INIT_CONTAINER,
        "image": server_image,
        "command": [COMMAND],
        "args": [*flags, f"--into={MODEL}"],
        "volumeMounts": [_mount("weights", WEIGHTS), *mounts],
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    }


def _secret(at: int, name: str) -> JsonObject:
    return {"name": f"pull-secret-{at}", "secret": {"secretName": name, "defaultMode": 0o400}}


def _mount(name: str, path: str, *, read_only: bool = False) -> JsonObject:
    mount: JsonObject = {"name": name, "mountPath": path}
    return mount | {"readOnly": True} if read_only else mount

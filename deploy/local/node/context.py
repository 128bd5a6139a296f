"""What the workers of all pods of this node share."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import NamedTuple

import aiohttp

from deploy.local.node.downward import Place
from deploy.local.node.gpus import GpuBook
from deploy.local.node.images import Images
from deploy.local.node.pod import Pod
from deploy.local.node.ports import PortBook
from deploy.local.node.tokens import Tokens
from services.chassis.kube import PODS, EventRecorder, EventTarget, KubeClient, ObjectRef

log = logging.getLogger(__name__)

STORIES = 256
"""Events that may wait for the API server; what comes on top is only logged."""


class _Story(NamedTuple):
    pod: Pod
    warning: bool
    reason: str
    message: str


class Narrator:
    """Writes Events about pods, one after the other, so that nobody waits for them."""

    def __init__(self, client: KubeClient) -> None:
        self._recorder = EventRecorder(client, "kaitobus-node")
        self._stories: asyncio.Queue[_Story] = asyncio.Queue(STORIES)

    def normal(self, pod: Pod, reason: str, message: str) -> None:
        """Something went as it should."""
        self._tell(_Story(pod, False, reason, message))

    def warning(self, pod: Pod, reason: str, message: str) -> None:
        """Something went wrong."""
        self._tell(_Story(pod, True, reason, message))

    async def run(self) -> None:
        """Write what is told, until cancelled."""
        while True:
            story = await self._stories.get()
            target = EventTarget(pod_ref(story.pod), story.pod.metadata.uid)
            write = self._recorder.warning if story.warning else self._recorder.normal
            await write(target, story.reason, story.message)

    def _tell(self, story: _Story) -> None:
        log.log(
            logging.WARNING if story.warning else logging.INFO,
            "pod %s: %s: %s", story.pod.title, story.reason, story.message,
        )  # fmt: skip
        if not self._stories.full():
            self._stories.put_nowait(story)


class NodeContext(NamedTuple):
    """The node as its pods see it."""

    client: KubeClient
    images: Images
    tokens: Tokens
    ports: PortBook
    gpus: GpuBook
    narrator: Narrator
    http: aiohttp.ClientSession
    place: Place
    pods_dir: Path
    base_env: dict[str, str]
    """Variables that every container gets."""

    def release(self, uid: str) -> None:
        """Take back what a pod had that is gone."""
        self.ports.release(self.ports.owners(f"{uid}/"))
        self.gpus.release(uid)
        self.tokens.forget(uid)

    def pod_dir(self, uid: str) -> Path:
        """Where a pod has its volumes, logs and home."""
        return self.pods_dir / uid


def pod_ref(pod: Pod) -> ObjectRef:
    """The pod's address."""
    return ObjectRef(PODS, pod.metadata.name, pod.metadata.namespace)

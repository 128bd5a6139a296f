"""Looks after one container of a pod: starts it, runs its probes, ends it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from deploy.local.node.actions import ActionFailed, Target, act
from deploy.local.node.container import Command, ContainerProcess
from deploy.local.node.container_state import ContainerRecord, Terminated, Waiting
from deploy.local.node.context import NodeContext
from deploy.local.node.images import ImageError
from deploy.local.node.launch import build_command, container_mounts
from deploy.local.node.pod import Pod
from deploy.local.node.pod_container import Container, Handler
from deploy.local.node.probes import Health, Kind
from deploy.local.node.sources import ConfigError, Sources

log = logging.getLogger(__name__)

RETRY_AFTER = timedelta(seconds=3)
"""How soon something that is missing (an image, a ConfigMap) is looked for again."""


class ContainerWorker:
    """One container. `pod` gives the pod as it is now, `on_change` is called when the container's record changes."""

    def __init__(
        self,
        container: Container,
        node: NodeContext,
        folder: Path,
        pod: Callable[[], Pod],
        ports: dict[int, int],
        on_change: Callable[[], None],
    ) -> None:
        self.container = container
        self._node = node
        self._pod = pod
        self._ports = ports
        self._on_change = on_change
        from_log = container.termination_message_policy == "FallbackToLogsOnError"
        self.process = ContainerProcess(container.name, folder, self._changed, log_as_message=from_log)
        self._health: asyncio.Task[None] | None = None

    @property
    def record(self) -> ContainerRecord:
        """The container as of now."""
        return self.process.record

    def adopt(self) -> None:
        """Take over what an earlier agent has started."""
        told = self._pod().reported(self.container.name)
        self.process.adopt(started=told.started, ready=told.ready)
        self._watch_health(started=told.started)

    async def start(self, sources: Sources) -> None:
        """Start it, or note why it cannot be started and when to try again."""
        try:
            await self.process.start(self._command(sources))
        except ImageError as error:
            self.waits("ImagePullBackOff" if self._pull_failed else "ErrImagePull", str(error))
        except ConfigError as error:
            self.waits("CreateContainerConfigError", str(error))
        except OSError as error:
            self.waits("CreateContainerError", f"the container's files cannot be written: {error}")
        else:
            self._node.narrator.normal(self._pod(), "Started", f"Started container {self.container.name}")
            self._watch_health(started=False)

    @property
    def _pull_failed(self) -> bool:
        state = self.record.state
        return isinstance(state, Waiting) and state.reason in ("ErrImagePull", "ImagePullBackOff")

    def waits(self, reason: str, message: str) -> None:
        """Note why it cannot be started. Say so once, and try again later."""
        state = self.record.state
        if not (isinstance(state, Waiting) and state.message == message):
            event = "FailedMount" if reason == "ContainerCreating" else "Failed"
            self._node.narrator.warning(self._pod(), event, message)
        self.process.waits(Waiting(reason, message, datetime.now(UTC) + RETRY_AFTER))

    async def stop(self, grace_seconds: float, why: str) -> None:
        """Run its preStop hook, then end it; both have to be done in `grace_seconds`."""
        if not self.process.running:
            return
        self._node.narrator.normal(self._pod(), "Killing", f"Stopping container {self.container.name}: {why}")
        deadline = asyncio.get_running_loop().time() + grace_seconds
        self._end_health()
        if self.container.lifecycle.pre_stop:
            await self._run_hook(self.container.lifecycle.pre_stop, grace_seconds)
        await self.process.stop(deadline - asyncio.get_running_loop().time())

    def let_go(self) -> None:
        """Stop looking after it; it runs on."""
        self._end_health()
        self.process.let_go()

    # What a probe needs of a container.

    async def act(self, handler: Handler, timeout_s: float) -> None:
        """Do what a probe or a hook says. Raises ActionFailed."""
        pod_dir = self._node.pod_dir(self._pod().metadata.uid)
        mounts = container_mounts(self._pod(), self.container, pod_dir)
        target = Target(self.container, self.process.process_id, self._ports, mounts)
        await act(handler, target, self._node.http, timeout_s)

    def set_started(self) -> None:
        """Its startup probe has passed."""
        self.process.set_started()

    def set_ready(self, ready: bool) -> None:
        """Its readiness probe has passed, or failed."""
        self.process.set_ready(ready)

    async def restart(self) -> None:
        """End it because a probe says that it is not well; its end then wakes the pod's worker."""
        pod = self._pod()
        message = f"Container {self.container.name} failed its probe, will be ended; restartPolicy decides what is next"
        self._node.narrator.normal(pod, "Killing", message)
        await self.process.stop(pod.spec.termination_grace_period_seconds)

    def _command(self, sources: Sources) -> Command:
        uid = self._pod().metadata.uid
        image = self._node.images.find(self.container.image)
        given = self._node.base_env | self._node.gpus.env(uid, self.container)
        return build_command(
            self._pod(), self.container, image, sources, self._node.place,
            pod_dir=self._node.pod_dir(uid), ports=self._ports, base_env=given,
        )  # fmt: skip

    async def _run_hook(self, hook: Handler, limit_s: float) -> None:
        try:
            await self.act(hook, limit_s)
        except ActionFailed as failure:
            self._node.narrator.warning(self._pod(), "FailedPreStopHook", str(failure))

    def _complain(self, kind: Kind, message: str) -> None:
        self._node.narrator.warning(self._pod(), "Unhealthy", f"{kind} probe failed: {message}")

    def _changed(self) -> None:
        if isinstance(self.record.state, Terminated):
            self._end_health()
        self._on_change()

    def _watch_health(self, *, started: bool) -> None:
        self._end_health()
        if self.process.running:
            self._health = asyncio.create_task(self._watch(started=started))

    async def _watch(self, *, started: bool) -> None:
        with suppress(asyncio.CancelledError):
            try:
                await Health(self.container, self, self._complain).watch(started=started)
            except ExceptionGroup:
                log.exception("the probes of container %s of pod %s broke", self.container.name, self._pod().title)

    def _end_health(self) -> None:
        if self._health and self._health is not asyncio.current_task():
            self._health.cancel()
        self._health = None

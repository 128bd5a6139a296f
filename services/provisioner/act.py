"""Carries out what was decided, and tells what it changed."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from services.chassis.kube import Conflict, Invalid, NotFound
from services.contracts.errors import Failure, FailureCode, ProviderError
from services.provisioner.node_facts import NodeFacts
from services.provisioner.nodes import Nodes
from services.provisioner.provider import Instance, InstanceSpec, InstanceState, Provider
from services.provisioner.reconcile import Actions
from services.provisioner.refusals import Refusals
from services.provisioner.view import View

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Result:
    """What one action has brought: a machine or a node as it is now, a node that is gone, or trouble."""

    instance: Instance | None = None
    node: NodeFacts | None = None
    gone_node: str | None = None
    trouble: Failure | None = None


class Actor:
    """Acts on a provider's machines and on their nodes."""

    def __init__(self, provider: Provider, nodes: Nodes, refusals: Refusals) -> None:
        self._provider = provider
        self._nodes = nodes
        self._refusals = refusals

    async def act(self, view: View, actions: Actions) -> View:
        """Do everything side by side; returns the view as it is afterwards.

        A refusal of the cloud is part of it. What else is raised is raised once all have come to an end.
        """
        jobs: list[Coroutine[None, None, Result]] = [
            *(self._create(view, spec) for spec in actions.create),
            *(self._delete(view, instance) for instance in actions.delete),
            *(self._mark(view, node) for node in actions.mark),
            *(self._remove_node(name) for name in actions.remove_nodes),
        ]
        results = await asyncio.gather(*jobs, return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                raise result
            view = after(view, result)
        return view

    async def _create(self, view: View, spec: InstanceSpec) -> Result:
        try:
            instance = await self._provider.create(spec)
        except ProviderError as error:
            log.warning("a machine was refused", extra={"machine": spec.name, "reason": error.message})
            return Result(trouble=self._refusals.note(view.demand, error, datetime.now(UTC)))
        log.info("machine asked for", extra={"machine": spec.name, "size": spec.instance_type})
        return Result(instance=instance)

    async def _delete(self, view: View, instance: Instance) -> Result:
        try:
            await self._provider.delete(instance)
        except ProviderError as error:
            told = self._refusals.told(view.demand, error, datetime.now(UTC))
            return Result(trouble=told.model_copy(update={"message": f"{instance.name} cannot go: {error.message}"}))
        log.info("machine let go", extra={"machine": instance.name})
        return Result(instance=instance.model_copy(update={"state": InstanceState.DELETING}))

    async def _mark(self, view: View, node: NodeFacts) -> Result:
        """A node that changed or went in between is seen again in the next pass."""
        try:
            return Result(node=await self._nodes.mark(node, view.labels, view.demand.taints))
        except Invalid as error:
            text = f"node {node.name} does not take its labels: {error.message}"
            return Result(trouble=Failure(code=FailureCode.INVALID_REQUEST, message=text))
        except (Conflict, NotFound):
            return Result()

    async def _remove_node(self, name: str) -> Result:
        await self._nodes.remove(name)
        return Result(gone_node=name)


def after(view: View, result: Result) -> View:
    """The view with what one action has changed."""
    instances = {i.id: i for i in view.instances}
    nodes = {n.name: n for n in view.nodes if n.name != result.gone_node}
    if result.instance:
        instances[result.instance.id] = result.instance
    if result.node:
        nodes[result.node.name] = result.node
    return replace(
        view,
        instances=tuple(instances.values()),
        nodes=tuple(nodes.values()),
        trouble=view.trouble or result.trouble,
    )

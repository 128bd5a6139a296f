"""Keeps a port of this machine for each Service with a pod here, and writes it on the Service."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from contextlib import aclosing

from deploy.local.node.ports import NoFreePort, PortBook
from deploy.local.node.service_ports import (
    ANNOTATION,
    LocalPod,
    Route,
    Service,
    address_annotation,
    parse_service,
    routes,
)
from deploy.local.node.tcp_proxy import TcpProxy
from services.chassis.kube import (
    SERVICES,
    Deleted,
    JsonObject,
    Key,
    KubeClient,
    KubeError,
    ListWatch,
    ObjectRef,
    Upsert,
)

log = logging.getLogger(__name__)

RETRY_S = 2.0


class ServiceProxy:
    """The Services of this node. Call `changed` when a pod has; run `run` as a task."""

    def __init__(self, client: KubeClient, ports: PortBook, pods: Callable[[], Iterable[LocalPod]]) -> None:
        self._client = client
        self._ports = ports
        self._pods = pods
        self._services: dict[Key, Service] = {}
        self._proxies: dict[str, TcpProxy] = {}
        self._said: dict[str, str] = {}
        """What this agent has written on each Service, by uid."""
        self._changed = asyncio.Event()

    def changed(self) -> None:
        """A pod or a Service has changed."""
        self._changed.set()

    async def run(self) -> None:
        """Work until cancelled; then all ports are closed."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._watch())
                group.create_task(self._reconcile_always())
        finally:
            for proxy in self._proxies.values():
                proxy.close()

    async def _watch(self) -> None:
        watch = ListWatch(self._client, SERVICES)
        async with aclosing(watch.events()) as events:
            async for event in events:
                if isinstance(event, Upsert):
                    self._upsert(event.ref, event.obj)
                elif isinstance(event, Deleted):
                    self._forget(self._services.pop(event.ref.key, None))
                self.changed()

    def _upsert(self, ref: ObjectRef, obj: JsonObject) -> None:
        service = parse_service(obj)
        if service:
            self._services[ref.key] = service
        else:
            self._forget(self._services.pop(ref.key, None))

    def _forget(self, service: Service | None) -> None:
        if service:
            self._said.pop(service.metadata.uid, None)
            prefix = f"service/{service.metadata.namespace}/{service.metadata.name}/"
            self._ports.release(self._ports.owners(prefix))

    async def _reconcile_always(self) -> None:
        while True:
            await self._changed.wait()
            self._changed.clear()
            try:
                await self._reconcile()
            except (KubeError, OSError, NoFreePort) as error:
                log.warning("the ports of Services are not all there yet: %s", error)
                self.changed()
                await asyncio.sleep(RETRY_S)

    async def _reconcile(self) -> None:
        wanted = {route.owner: route for route in routes(self._services.values(), self._pods())}
        for owner in self._proxies.keys() - wanted.keys():
            self._proxies.pop(owner).close()
        for route in wanted.values():
            await self._serve(route)
        for service in list(self._services.values()):
            own = [route for route in wanted.values() if route.service.metadata.uid == service.metadata.uid]
            ports = {route.port: self._proxies[route.owner].port for route in own}
            await self._say(service, address_annotation(ports))

    async def _serve(self, route: Route) -> None:
        """Listen for one port; on another one than last time if that is taken now."""
        if route.owner not in self._proxies:
            self._proxies[route.owner] = TcpProxy(self._ports.port(route.owner))
        try:
            await self._proxies[route.owner].serve(route.backends)
        except OSError:
            self._proxies[route.owner] = TcpProxy(self._ports.renew(route.owner))
            await self._proxies[route.owner].serve(route.backends)

    async def _say(self, service: Service, addresses: str | None) -> None:
        """Write the addresses on the Service, once for each change.

        Another node of this machine may have pods of it too, and then writes its own: the last one stands, and
        nobody insists.
        """
        uid, present = service.metadata.uid, service.metadata.annotations.get(ANNOTATION)
        if addresses is None:
            mine = present is not None and present == self._said.pop(uid, None)
            if not mine:
                return
        elif present == addresses or (present is not None and self._said.get(uid) == addresses):
            self._said[uid] = addresses
            return
        ref = ObjectRef(SERVICES, service.metadata.name, service.metadata.namespace)
        patch: JsonObject = {"metadata": {"uid": uid, "annotations": {ANNOTATION: addresses}}}
        await self._client.merge_patch(ref, patch)
        if addresses is not None:
            self._said[uid] = addresses

"""Why Kubernetes does not create the pods of a workload."""

from __future__ import annotations

from services.chassis.kube import EVENTS, JsonObject, KubeClient, Resource, dig_str


async def refusal_of(kube: KubeClient, kind: Resource, workload: JsonObject) -> str:
    """In Kubernetes' own words, from the newest event on the workload; nothing where there is none."""
    name, uid = dig_str(workload, "metadata", "name"), dig_str(workload, "metadata", "uid")
    about = f"involvedObject.kind={kind.kind},involvedObject.name={name},reason=FailedCreate"
    found = await kube.list(EVENTS, namespace=dig_str(workload, "metadata", "namespace"), fields=about)
    told = [event for event in found.items if dig_str(event, "involvedObject", "uid") == uid]
    newest = max(told, key=lambda event: dig_str(event, "lastTimestamp"), default=None)
    return dig_str(newest, "message")

"""Events on a real API server, as `kubectl` shows them."""

from __future__ import annotations

import json

import pytest

from services.chassis.kube import CONFIGMAPS, EventRecorder, EventTarget, KubeClient
from tests.kubernetes.kube_fixtures import client, configmap, namespace
from tests.plane import Kubectl

__all__ = ["client", "namespace"]

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_one_event_a_transition_counted_also_across_recorders(
    client: KubeClient, namespace: str, kubectl: Kubectl
) -> None:
    target = EventTarget.of(CONFIGMAPS, await client.create(CONFIGMAPS, configmap(namespace, "a")))
    for _ in range(2):
        recorder = EventRecorder(client, "tester")
        await recorder.normal(target, "Started", "it runs")
        await recorder.warning(target, "Broke", "it broke")
    await recorder.normal(target, "Started", "it runs")

    events = json.loads(await kubectl("get", "events", "-n", namespace, "-o", "json"))["items"]
    told = {event["reason"]: (event["type"], event["message"], event["count"]) for event in events}
    assert told == {"Started": ("Normal", "it runs", 3), "Broke": ("Warning", "it broke", 2)}
    assert events[0]["involvedObject"]["uid"] == target.uid
    assert events[0]["source"] == {"component": "tester"}


async def test_kubectl_describe_shows_the_story(client: KubeClient, namespace: str, kubectl: Kubectl) -> None:
    target = EventTarget.of(CONFIGMAPS, await client.create(CONFIGMAPS, configmap(namespace, "a")))
    await EventRecorder(client, "tester").warning(target, "NoRoom", "no node has room for it")
    assert "no node has room for it" in await kubectl("describe", "configmap", "a", "-n", namespace)

"""What befalls a node agent and its containers: kills, restarts, a second one. Each test finds an idle node."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import uuid
from pathlib import Path

from deploy.local.controlplane import ControlPlane
from tests.kubernetes.cuttable_wire import CuttableWire
from tests.kubernetes.node_agent import Agent, eventually, manifest, pids_below, pod
from tests.kubernetes.node_fixtures import apply, becomes, field, log_says, node, ns, own_agent, ready
from tests.plane import Kubectl

__all__ = ["node", "ns", "own_agent"]


async def test_an_unknown_image_says_what_is_known_and_is_taken_once_it_is(ns: Kubectl, own_agent: Agent) -> None:
    await apply(ns, pod("image", own_agent, "echo", "hello", image="test/later:3", spec_restartPolicy="Never"))
    waiting = ".status.containerStatuses[0].state.waiting"
    await becomes(ns, "pod/image", f"{waiting}.reason", "ImagePullBackOff")
    message = await field(ns, "pod/image", f"{waiting}.message")()
    assert "'test/later:3'" in message
    assert f"{own_agent.images}. Known are: test/python, test/shell" in message
    own_agent.know_images("test/later")
    await becomes(ns, "pod/image", ".status.phase", "Succeeded")


async def test_a_container_whose_keeper_is_killed_ends_and_is_started_again(ns: Kubectl, own_agent: Agent) -> None:
    await apply(ns, pod("kept", own_agent, "sleep", "1000"))
    await ready(ns, "pod/kept")
    (run,) = [json.loads(path.read_text()) for path in own_agent.state.rglob("run.json")]
    os.kill(run["shim"]["pid"], signal.SIGKILL)
    status = ".status.containerStatuses[0]"
    await becomes(ns, "pod/kept", f"{status}.restartCount", "1")
    await becomes(ns, "pod/kept", f"{status}.lastState.terminated.reason", "ContainerStatusUnknown")
    assert run["process"]["pid"] not in pids_below(own_agent.state)


async def test_a_killed_agent_finds_its_containers_again(ns: Kubectl, own_agent: Agent) -> None:
    script = "echo up $$; while :; do sleep 0.2; echo still; done"
    await apply(ns, pod("stays", own_agent, "sh", "-c", script))
    await log_says(ns, "stays", "still")
    before = pids_below(own_agent.state)
    own_agent.kill()
    own_agent.start()
    await ready(ns, "pod/stays")
    await eventually(lambda: logs_of(ns, "stays"), lambda seen: "still" in seen, "the new agent serves the log")
    assert pids_below(own_agent.state) == before
    assert await field(ns, "pod/stays", ".status.containerStatuses[0].restartCount")() == "0"
    await ns("delete", "pod", "stays")
    assert pids_below(own_agent.state) == set()


async def logs_of(ns: Kubectl, name: str) -> str:
    try:
        return await ns("logs", name, "--tail=1")
    except AssertionError as not_yet:
        return f"not yet: {not_yet}"


async def test_what_ends_or_is_deleted_while_no_agent_runs_is_noticed(ns: Kubectl, own_agent: Agent) -> None:
    await apply(ns, pod("ends", own_agent, "sh", "-c", "echo up; sleep 1; exit 7", spec_restartPolicy="Never"))
    await apply(ns, pod("gone", own_agent, "sh", "-c", "echo up; sleep 1000"))
    for name in ("ends", "gone"):
        await log_says(ns, name, "up")
    own_agent.kill()
    await ns("delete", "pod", "gone", "--force", "--grace-period=0")
    own_agent.start()
    await becomes(ns, "pod/ends", ".status.containerStatuses[0].state.terminated.exitCode", "7")

    async def running() -> str:
        return str(len(pids_below(own_agent.state)))

    await eventually(running, lambda seen: seen == "0", "the process of the deleted pod has ended")

    async def kept() -> str:
        return str(len(list((own_agent.state / "pods").iterdir())))

    await eventually(kept, lambda seen: seen == "1", "the files of the deleted pod are gone")


async def test_an_api_server_that_is_away_for_a_while_is_survived(
    ns: Kubectl, control_plane: ControlPlane, tmp_path: Path
) -> None:
    async with CuttableWire.to(control_plane.kubeconfig, tmp_path) as (wire, through):
        agent = Agent(f"node-{uuid.uuid4().hex[:6]}", control_plane, tmp_path, kubeconfig=through)
        agent.start()
        try:
            await apply(ns, pod("before", agent, "sleep", "1000"))
            await ready(ns, "pod/before")
            pids = pids_below(agent.state)
            wire.cut()
            await apply(ns, pod("after", agent, "sleep", "1000"))
            await becomes(ns, "pod/after", ".spec.nodeName", agent.name)
            wire.mend()
            await ready(ns, "pod/after")
            assert pids < pids_below(agent.state)
        finally:
            wire.mend()
            await asyncio.to_thread(agent.stop)


async def test_a_stopped_agent_leaves_nothing_running(ns: Kubectl, kubectl: Kubectl, own_agent: Agent) -> None:
    await apply(ns, pod("ends", own_agent, "sh", "-c", "setsid sleep 1000 & echo up; sleep 1000"))
    await log_says(ns, "ends", "up")
    assert own_agent.stop() == 0
    assert pids_below(own_agent.state) == set()
    assert await kubectl("get", "nodes", own_agent.name, "--ignore-not-found") == ""
    own_agent.start()


async def test_a_node_of_that_name_which_exists_is_adopted(
    kubectl: Kubectl, control_plane: ControlPlane, tmp_path: Path
) -> None:
    name = f"node-{uuid.uuid4().hex[:6]}"
    labels = {"made-by": "somebody"}
    node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels}}
    await kubectl("apply", "-f", "-", stdin=manifest(node))
    agent = Agent(name, control_plane, tmp_path, "--provider-id", f"local://{name}")
    agent.start()
    try:
        await becomes(kubectl, f"node/{name}", ".spec.providerID", f"local://{name}")
        await ready(kubectl, f"node/{name}")
        assert await field(kubectl, f"node/{name}", ".metadata.labels.made-by")() == "somebody"
    finally:
        agent.stop()


async def test_a_second_agent_on_the_same_state_says_so_and_ends(
    own_agent: Agent, control_plane: ControlPlane, kubectl: Kubectl
) -> None:
    await ready(kubectl, f"node/{own_agent.name}")
    second = Agent(own_agent.name, control_plane, own_agent.state.parent)
    second.start()
    assert await asyncio.to_thread(second.wait) == 1
    assert "another node agent uses" in second.log()

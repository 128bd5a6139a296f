"""The node agent on a real control plane: what kubectl, the scheduler and the controllers see of it."""

from __future__ import annotations

import asyncio
import json
import re
import ssl
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest

from deploy.local.controlplane import ControlPlane
from tests.kubernetes.node_agent import Agent, eventually, is_private, left_outside, pids_below, pod
from tests.kubernetes.node_fixtures import apply, becomes, field, log_says, ns, ready
from tests.plane import Kubectl

__all__ = ["ns"]

WEB = (
    "python", "-u", "-m", "http.server", "--bind", "127.0.0.1", "--directory", "/www", "$(KAITOBUS_PORT_8000)",
)  # fmt: skip


@pytest.fixture(scope="module")
def agent(control_plane: ControlPlane, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Agent]:
    """One node for the tests that leave it alone."""
    agent = Agent("node-a", control_plane, tmp_path_factory.mktemp("node-a"), "--model-dir", "/models")
    agent.start()
    yield agent
    assert agent.stop() == 0
    assert pids_below(agent.state) == set()
    assert left_outside(agent.state) == []


async def test_the_node_is_there_as_it_was_described(kubectl: Kubectl, agent: Agent) -> None:
    await ready(kubectl, "node/node-a")
    node = json.loads(await kubectl("get", "node", "node-a", "-o", "json"))
    assert node["status"]["capacity"]["cpu"] == "2"
    assert node["status"]["capacity"]["memory"] == "4Gi"
    assert node["metadata"]["labels"]["kubernetes.io/hostname"] == "node-a"
    lease = await kubectl("-n", "kube-node-lease", "get", "lease", "node-a", "-o", "jsonpath={.spec.holderIdentity}")
    assert lease == "node-a"


async def test_a_stateful_set_becomes_ready_and_its_service_answers(ns: Kubectl, agent: Agent) -> None:
    one = pod("web", agent, *WEB)
    spec = one["spec"]
    assert isinstance(spec, dict)
    spec["volumes"] = [{"name": "www", "emptyDir": {}}]
    mount = {"name": "www", "mountPath": "/www"}
    write = ["sh", "-c", "echo from the init container > /www/index.html"]
    spec["initContainers"] = [{"name": "write", "image": "test/shell:1.2", "command": write, "volumeMounts": [mount]}]
    spec["containers"][0] |= {
        "ports": [{"containerPort": 8000, "name": "http"}],
        "volumeMounts": [mount],
        "readinessProbe": {"httpGet": {"path": "/", "port": "http"}, "periodSeconds": 1},
    }
    template = {"metadata": {"labels": {"app": "web"}}, "spec": spec}
    sts_spec = {"serviceName": "web", "selector": {"matchLabels": {"app": "web"}}, "template": template}
    sts = {"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "web"}, "spec": sts_spec}
    ports = [{"port": 80, "targetPort": "http"}]
    service = {
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"},
        "spec": {"selector": {"app": "web"}, "ports": ports},
    }  # fmt: skip
    await apply(ns, service, sts)
    await becomes(ns, "sts/web", ".status.readyReplicas", "1")
    address = await eventually(
        field(ns, "svc/web", r".metadata.annotations.local\.kaito\.sh/addresses"), bool, "the service has an address"
    )
    assert await body(f"http://{json.loads(address)['80']}/") == "from the init container\n"

    await ns("delete", "pod", "web-0")
    await becomes(ns, "sts/web", ".status.readyReplicas", "1")
    await eventually(
        lambda: body(f"http://{json.loads(address)['80']}/"),
        lambda seen: seen == "from the init container\n",
        "the service has the same address in front of the new pod",
    )


async def body(url: str) -> str:
    try:
        async with aiohttp.ClientSession() as session, session.get(url) as answer:
            return await answer.text()
    except aiohttp.ClientError as error:
        return str(error)


async def test_a_changed_config_map_comes_into_a_running_pod_at_once_when_the_pod_is_annotated(
    ns: Kubectl, agent: Agent
) -> None:
    await ns("create", "configmap", "list", "--from-literal=names=before")
    shows = ["sh", "-c", "while true; do cat /list/names; echo; sleep 0.2; done"]
    volumes = [{"name": "list", "configMap": {"name": "list"}}]
    mounts = [{"name": "list", "mountPath": "/list"}]
    await apply(ns, pod("reader", agent, *shows, volumeMounts=mounts, spec_volumes=volumes))
    await log_says(ns, "reader", "before")
    await ns("patch", "configmap", "list", "-p", '{"data": {"names": "after"}}')
    await ns("annotate", "pod", "reader", "changed=yes")
    await log_says(ns, "reader", "after")


async def test_a_container_gets_its_environment_and_no_other(ns: Kubectl, agent: Agent) -> None:
    await ns("create", "configmap", "settings", "--from-literal=greeting=hello", "--from-literal=LEVEL=high")
    await ns("create", "secret", "generic", "keys", "--from-literal=password=hunter2")
    env = [
        {"name": "GREETING", "valueFrom": {"configMapKeyRef": {"name": "settings", "key": "greeting"}}},
        {"name": "PASSWORD", "valueFrom": {"secretKeyRef": {"name": "keys", "key": "password"}}},
        {"name": "POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
        {"name": "CPUS", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu"}}},
        {"name": "BOTH", "value": "$(GREETING), $(POD), $$(POD), $(NOBODY)"},
    ]
    config = [{"configMapRef": {"name": "settings"}}]
    one = pod("env", agent, "env", env=env, envFrom=config, spec_restartPolicy="Never")
    await apply(ns, one)
    await becomes(ns, "pod/env", ".status.phase", "Succeeded")
    seen = dict(line.split("=", 1) for line in (await ns("logs", "env")).splitlines())
    assert seen["BOTH"] == "hello, env, $(POD), $(NOBODY)"
    assert (seen["LEVEL"], seen["PASSWORD"], seen["CPUS"]) == ("high", "hunter2", "2")
    assert (seen["FROM_IMAGE"], seen["KAITOBUS_MODEL_DIR"], seen["HOSTNAME"]) == ("yes", "/models", "env")
    assert "VIRTUAL_ENV" not in seen
    assert "PYTEST_CURRENT_TEST" not in seen


async def test_volumes_are_found_where_they_are_mounted(ns: Kubectl, agent: Agent) -> None:
    await ns("create", "configmap", "settings", "--from-literal=a.txt=from the map")
    await ns("create", "secret", "generic", "keys", "--from-literal=key=from the secret")
    token = {"serviceAccountToken": {"path": "token"}}
    volumes = [
        {"name": "map", "configMap": {"name": "settings"}},
        {"name": "keys", "secret": {"secretName": "keys"}},
        {"name": "all", "projected": {"sources": [token, {"configMap": {"name": "settings"}}]}},
        {"name": "me", "downwardAPI": {"items": [{"path": "name", "fieldRef": {"fieldPath": "metadata.name"}}]}},
        {"name": "memory", "emptyDir": {"medium": "Memory"}},
        {"name": "host", "hostPath": {"path": "/etc"}},
    ]
    paths = {"map": "/etc/map", "keys": "/etc/keys", "all": "/all", "me": "/me", "memory": "/memory", "host": "/h"}
    mounts = [{"name": name, "mountPath": path} for name, path in paths.items()]
    script = (
        "cat /etc/map/a.txt; echo; cat /etc/keys/key; echo; stat -c %a /etc/keys/key; cat /all/a.txt; echo; "
        "cut -d. -f1 /all/token; cat /me/name; echo; df --output=fstype /memory/ | tail -1; "
        "test -f /h/passwd && echo host"
    )
    one = pod("vol", agent, "sh", "-ec", script, volumeMounts=mounts, spec_volumes=volumes, spec_restartPolicy="Never")
    await apply(ns, one)
    await becomes(ns, "pod/vol", ".status.phase", "Succeeded")
    from_map, key, mode, projected, token_head, name, file_system, host = (await ns("logs", "vol")).splitlines()
    assert (from_map, key, mode, projected) == ("from the map", "from the secret", "600", "from the map")
    assert token_head.startswith("eyJ")
    assert (name, file_system, host) == ("vol", "tmpfs", "host")
    assert is_private(agent.state)


async def test_a_changed_config_map_is_not_missed_by_a_pod_that_waits_for_it(ns: Kubectl, agent: Agent) -> None:
    env = [{"name": "X", "valueFrom": {"configMapKeyRef": {"name": "later", "key": "x"}}}]
    await apply(ns, pod("waits", agent, "sh", "-c", "echo got $X; sleep 1000", env=env))
    reason = ".status.containerStatuses[0].state.waiting"
    await becomes(ns, "pod/waits", f"{reason}.reason", "CreateContainerConfigError")
    assert "ConfigMap 'later' does not exist" in await field(ns, "pod/waits", f"{reason}.message")()
    await ns("create", "configmap", "later", "--from-literal=x=it")
    await log_says(ns, "waits", "got it")


async def test_a_failing_readiness_probe_keeps_a_pod_from_being_ready(ns: Kubectl, agent: Agent) -> None:
    volume = {"name": "v", "emptyDir": {}}
    mount = {"name": "v", "mountPath": "/v"}
    probe = {"exec": {"command": ["test", "-e", "/v/ready"]}, "periodSeconds": 1}
    script = "while [ ! -e /v/go ]; do sleep 0.1; done; touch /v/ready; sleep 1000"
    one = pod("probe", agent, "sh", "-c", script, readinessProbe=probe, volumeMounts=[mount], spec_volumes=[volume])
    await apply(ns, one)
    await becomes(ns, "pod/probe", ".status.phase", "Running")
    unhealthy = lambda: ns("get", "events", "--field-selector", "reason=Unhealthy", "-o", "name")  # noqa: E731
    await eventually(unhealthy, bool, "the probe has failed")
    assert await field(ns, "pod/probe", ".status.containerStatuses[0].ready")() == "false"
    (go,) = agent.state.glob("pods/*/volumes/v")
    (go / "go").touch()
    await ready(ns, "pod/probe")


async def test_a_failing_liveness_probe_restarts_the_container(ns: Kubectl, agent: Agent) -> None:
    probe = {"exec": {"command": ["false"]}, "periodSeconds": 1, "failureThreshold": 1}
    await apply(ns, pod("sick", agent, "sleep", "1000", livenessProbe=probe))
    await becomes(ns, "pod/sick", ".status.containerStatuses[0].restartCount", "1")


async def test_a_startup_probe_holds_back_the_others(ns: Kubectl, agent: Agent) -> None:
    startup = {"exec": {"command": ["false"]}, "periodSeconds": 1, "failureThreshold": 2}
    await apply(ns, pod("slow", agent, "sleep", "1000", startupProbe=startup))
    await becomes(ns, "pod/slow", ".status.containerStatuses[0].restartCount", "1")
    assert await field(ns, "pod/slow", ".status.containerStatuses[0].ready")() == "false"


async def test_a_container_that_ends_again_and_again_is_backed_off(ns: Kubectl, agent: Agent) -> None:
    script = "echo run; echo no weights in this model >&2; exit 3"
    one = pod("crash", agent, "sh", "-c", script, terminationMessagePolicy="FallbackToLogsOnError")
    await apply(ns, one)
    status = ".status.containerStatuses[0]"
    await becomes(ns, "pod/crash", f"{status}.state.waiting.reason", "CrashLoopBackOff")
    await becomes(ns, "pod/crash", f"{status}.restartCount", "1")
    last = json.loads(await field(ns, "pod/crash", f"{status}.lastState.terminated")())
    assert (last["exitCode"], last["reason"]) == (3, "Error")
    assert "no weights in this model" in last["message"]
    assert await ns("logs", "crash", "--previous") == "run\nno weights in this model\n"


async def test_a_program_that_is_not_there_is_named(ns: Kubectl, agent: Agent) -> None:
    await apply(ns, pod("none", agent, "no-such-program", spec_restartPolicy="Never"))
    await becomes(ns, "pod/none", ".status.phase", "Failed")
    ended = json.loads(await field(ns, "pod/none", ".status.containerStatuses[0].state.terminated")())
    assert (ended["reason"], ended["exitCode"]) == ("StartError", 128)
    assert "no-such-program" in ended["message"]


async def test_a_job_completes(ns: Kubectl, agent: Agent) -> None:
    one = pod("job", agent, "sh", "-c", "echo done", spec_restartPolicy="Never")
    template = {"spec": one["spec"]}
    await apply(
        ns, {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "j"}, "spec": {"template": template}}
    )
    await becomes(ns, "job/j", ".status.succeeded", "1")
    assert await ns("logs", "job/j") == "done\n"


async def test_two_pods_with_the_same_port_do_not_collide(ns: Kubectl, agent: Agent) -> None:
    code = (
        "import argparse, http.server as h; p = argparse.ArgumentParser(); p.add_argument('--host'); "
        "p.add_argument('--port', type=int); a = p.parse_args(); print(a.host, flush=True); "
        "h.HTTPServer((a.host, a.port), h.SimpleHTTPRequestHandler).serve_forever()"
    )
    arguments = ["--host", "0.0.0.0", "--port=5000"]
    probe = {"tcpSocket": {"port": 5000}, "periodSeconds": 1}
    for name in ("one", "two"):
        ports = [{"containerPort": 5000}]
        command = ("python", "-c", code)
        await apply(ns, pod(name, agent, *command, args=arguments, ports=ports, readinessProbe=probe))
    annotation = r".metadata.annotations.local\.kaito\.sh/ports"
    real = set()
    for name in ("one", "two"):
        await ready(ns, f"pod/{name}")
        real.add(json.loads(await field(ns, f"pod/{name}", annotation)())["5000"])
        assert await ns("logs", name) == "127.0.0.1\n"
    assert len(real) == 2


async def test_only_the_api_server_may_read_logs(kubectl: Kubectl, agent: Agent, control_plane: ControlPlane) -> None:
    await ready(kubectl, "node/node-a")
    status = json.loads(await kubectl("get", "node", "node-a", "-o", "json"))["status"]
    port = status["daemonEndpoints"]["kubeletEndpoint"]["Port"]
    url = f"https://{status['addresses'][0]['address']}:{port}/healthz"
    pki = control_plane.config.pki
    stranger = ssl.create_default_context(cafile=pki.ca.cert)
    api_server = ssl.create_default_context(cafile=pki.ca.cert)
    api_server.load_cert_chain(pki.kubelet_client.cert, pki.kubelet_client.key)
    async with aiohttp.ClientSession() as session:
        async with session.get(url, ssl=api_server) as answer:
            assert await answer.text() == "ok"
        with pytest.raises(aiohttp.ClientError):
            await session.get(url, ssl=stranger)


async def test_logs_can_be_followed_cut_and_stamped(ns: Kubectl, agent: Agent) -> None:
    script = "for i in 1 2 3; do echo line $i; done; sleep 1; echo line 4"
    await apply(ns, pod("log", agent, "sh", "-c", script, spec_restartPolicy="Never"))
    await log_says(ns, "log", "line 3")
    assert await ns("logs", "-f", "log") == "line 1\nline 2\nline 3\nline 4\n"
    assert await ns("logs", "log", "--tail=2") == "line 3\nline 4\n"
    assert await ns("logs", "log", "--limit-bytes=6") == "line 1"
    stamped = await ns("logs", "log", "--timestamps", "--tail=1")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z line 4\n", stamped)


async def test_exec_is_refused_in_plain_words(ns: Kubectl, agent: Agent) -> None:
    await apply(ns, pod("exec", agent, "sleep", "1000"))
    await ready(ns, "pod/exec")
    with pytest.raises(AssertionError, match="has no exec"):
        await ns("exec", "exec", "--", "true")


async def test_a_deleted_pod_gets_sigterm_and_ends_in_its_own_way(ns: Kubectl, agent: Agent) -> None:
    volume = [{"name": "out", "hostPath": {"path": str(agent.state.parent)}}]
    mount = [{"name": "out", "mountPath": "/out"}]
    script = "trap 'echo ended >> /out/story; exit 0' TERM; echo up; while :; do sleep 0.1; done"
    hook = {"preStop": {"exec": {"command": ["sh", "-c", "echo hook > /out/story"]}}}
    one = pod("polite", agent, "sh", "-c", script, volumeMounts=mount, lifecycle=hook, spec_volumes=volume)
    await apply(ns, one)
    await log_says(ns, "polite", "up")
    await ns("delete", "pod", "polite")
    assert (agent.state.parent / "story").read_text() == "hook\nended\n"


async def test_a_pod_that_does_not_listen_is_killed_after_its_grace_period(ns: Kubectl, agent: Agent) -> None:
    script = "trap '' TERM; echo up; while :; do sleep 0.1; done"
    await apply(ns, pod("deaf", agent, "sh", "-c", script, spec_terminationGracePeriodSeconds=1))
    await log_says(ns, "deaf", "up")
    uid = (await ns("get", "pod", "deaf", "-o", "jsonpath={.metadata.uid}")).strip()
    (run,) = (agent.state / "pods" / uid).rglob("run.json")
    pid = json.loads(run.read_text())["process"]["pid"]
    await asyncio.wait_for(ns("delete", "pod", "deaf"), 30)
    assert not Path(f"/proc/{pid}").exists()

    async def left() -> str:
        return str(run.exists())

    await eventually(left, lambda seen: seen == "False", "nothing is left of the pod on disk")

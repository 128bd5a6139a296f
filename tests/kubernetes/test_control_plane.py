"""What a user of the local control plane relies on, seen through kubectl."""

import json
import os
from pathlib import Path

import pytest

from deploy.local.controlplane import ControlPlane
from deploy.local.process import alive, recorded
from services.chassis.kube import CONFIGMAPS, KubeClient
from tests.kubernetes.kube_fixtures import Follower, client, configmap, namespace, ref, until
from tests.plane import Kubectl

__all__ = ["client", "namespace"]

pytestmark = pytest.mark.asyncio(loop_scope="session")

DEPLOYMENT = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: web, image: "web:1"}]}
"""


def config_map(name: str, value: str) -> str:
    return json.dumps({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"key": value}})


async def test_an_applied_object_is_read_back(kubectl: Kubectl) -> None:
    await kubectl("apply", "-f", "-", stdin=config_map("applied", "value"))
    assert await kubectl("get", "configmap", "applied", "-o", "jsonpath={.data.key}") == "value"


async def test_a_deployment_becomes_pods_that_wait_for_a_node(kubectl: Kubectl) -> None:
    await kubectl("apply", "-f", "-", stdin=DEPLOYMENT)
    wait = ("wait", "--timeout=60s", "pod", "-l", "app=web")
    await kubectl("wait", "--timeout=60s", "deployment/web", "--for=jsonpath={.status.unavailableReplicas}=2")
    await kubectl(*wait, "--for=condition=PodScheduled=false")
    pods = json.loads(await kubectl("get", "pods", "-l", "app=web", "-o", "json"))["items"]
    assert len(pods) == 2
    assert {pod["spec"]["serviceAccountName"] for pod in pods} == {"default"}
    await kubectl("delete", "deployment", "web")
    await kubectl(*wait, "--for=delete")


async def test_a_service_account_may_do_only_what_it_was_granted(kubectl: Kubectl) -> None:
    account = "--as=system:serviceaccount:default:default"
    with pytest.raises(AssertionError, match="cannot list resource"):
        await kubectl("get", "secrets", account)
    await kubectl("create", "rolebinding", "reader", "--clusterrole=admin", "--serviceaccount=default:default")
    await kubectl("get", "secrets", account)


async def test_the_api_server_comes_back_on_its_port_with_its_data_and_who_follows_it_goes_on(
    control_plane: ControlPlane, client: KubeClient, namespace: str
) -> None:
    await client.create(CONFIGMAPS, configmap(namespace, "before"))
    follower = Follower(client, namespace)
    async with follower.following():
        await until(lambda: follower.syncs == 1)
        before = alive("kube-apiserver", control_plane.run_folder)
        await control_plane.restart("kube-apiserver")
        after = alive("kube-apiserver", control_plane.run_folder)
        assert before
        assert after
        assert before.pid != after.pid
        await client.delete(ref(namespace, "before"))
        await client.apply(configmap(namespace, "after"), manager="test")
        await until(lambda: follower.deleted == ["before"] and "after" in follower.known)
        assert follower.list_watch.is_fresh()


async def test_starting_again_adopts_what_runs_and_starts_what_does_not(
    control_plane: ControlPlane, kubectl: Kubectl
) -> None:
    scheduler = alive("kube-scheduler", control_plane.run_folder)
    await control_plane.stop_one("kube-controller-manager")
    other = await ControlPlane.prepare(control_plane.config.binaries, control_plane.config.state)
    await other.start()
    assert other.config == control_plane.config
    assert alive("kube-scheduler", control_plane.run_folder) == scheduler
    assert alive("kube-controller-manager", control_plane.run_folder)
    assert "default" in await kubectl("get", "namespaces")


async def test_files_with_secrets_are_the_users_alone(control_plane: ControlPlane) -> None:
    secret = [*control_plane.config.state.glob("pki/*"), *control_plane.config.state.glob("kubeconfigs/*")]
    assert secret
    assert {oct(path.stat().st_mode & 0o777) for path in secret} == {"0o600"}


async def test_stopping_leaves_no_process_and_keeps_the_data(control_plane: ControlPlane, tmp_path: Path) -> None:
    plane = await ControlPlane.prepare(control_plane.config.binaries, tmp_path / "another")
    await plane.start()
    processes = [recorded(spec.name, plane.run_folder) for spec in plane.processes]
    await plane.stop()
    assert [process for process in processes if process and os.path.exists(f"/proc/{process.pid}")] == []
    assert list(plane.run_folder.iterdir()) == []
    assert (tmp_path / "another/etcd/member").is_dir()

"""What the tests of the provider `aws` share: its cloud, the nodes it knows of, and a machine to ask for."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from services.chassis.kube import JsonObject, KubeClient
from services.contracts.workspace import LABEL_OWNER_UID, LABEL_PROVIDER, LABEL_WORKSPACE, LABEL_WORKSPACE_NAMESPACE
from services.provisioner.nodes import Nodes
from services.provisioner.provider import InstanceSpec, Owner, instance_name
from services.provisioner.providers.aws import AwsProvider
from services.provisioner.providers.aws.nodegroup import NODE_LABEL
from services.provisioner.providers.aws.settings import AwsSettings
from tests.integration.aws_front import AwsFront, Moto, aws
from tests.unit.scripted_api_server import ScriptedApiServer

SIZE = "g6.xlarge"
OWNER = Owner(namespace="team", name="w", uid="11111111-2222-3333-4444-555555555555")
NAME = instance_name("aws", OWNER.uid, 0)
CREATE, LIST, DESCRIBE, DELETE = "POST /clusters", "GET .*/node-groups ", "GET .*/node-groups/", "DELETE "
"""The calls, as a script of AwsFront names them."""


def spec(*, owner: Owner = OWNER, **fields: object) -> InstanceSpec:
    """A machine to ask for."""
    made = InstanceSpec(
        name=instance_name("aws", owner.uid, 0), owner=owner, instance_type=SIZE,
        labels={"apps": "w"}, taints=("sku=gpu:NoSchedule",),
    )  # fmt: skip
    return made.model_copy(update=fields)


def node(name: str, group: str = NAME, created: str = "2026-01-01T12:00:00Z", owner: Owner = OWNER) -> JsonObject:
    """A node as EKS has it join: with its group's name, and the labels that the group was made with."""
    ours = {LABEL_OWNER_UID: owner.uid, LABEL_WORKSPACE: owner.name, LABEL_WORKSPACE_NAMESPACE: owner.namespace}
    labels: JsonObject = {NODE_LABEL: group, LABEL_PROVIDER: "aws", **ours}
    return {"metadata": {"name": name, "labels": labels, "creationTimestamp": created}}


@pytest.fixture
async def cloud(moto: Moto, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[AwsFront]:
    """One cluster, on moto."""
    async with aws(moto, monkeypatch) as front:
        yield front


@pytest.fixture
async def nodes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Nodes]:
    """The nodes that a test has told of. The API server itself is not there, and is not asked."""
    monkeypatch.setenv("SSL_CERT_FILE", os.devnull)  # to read the machine's authorities takes 60 ms a client
    path = ScriptedApiServer(tmp_path).write_kubeconfig("http://127.0.0.1:9")
    async with await KubeClient.connect(str(path)) as kube:
        yield Nodes(kube, "aws")


@pytest.fixture
async def provider(cloud: AwsFront, nodes: Nodes) -> AwsProvider:
    """The provider of a process that has just started."""
    return AwsProvider(AwsSettings(), nodes)

"""Reads Workspaces from the cluster, with plain words where there is none."""

from __future__ import annotations

from services.chassis.kube.errors import NotFound
from services.chassis.kube.objects import WORKSPACES, ObjectRef
from services.cli.connect import Cluster
from services.cli.errors import CliError
from services.cli.workspaces import WorkspaceView, read_workspace

NO_CRD = "The cluster knows no Workspaces: apply the CRD in deploy/crds, or start all with `kaitobus up`."


async def find_workspace(cluster: Cluster, namespace: str, name: str) -> WorkspaceView:
    """The Workspace of that name. Raises CliError where there is none, naming those that are there."""
    found = await cluster.kube.get(ObjectRef(WORKSPACES, name, namespace))
    if found is not None:
        return read_workspace(found)
    raise CliError(_missing(namespace, name, await list_workspaces(cluster, namespace)))


async def list_workspaces(cluster: Cluster, namespace: str | None) -> list[WorkspaceView]:
    """All Workspaces of a namespace, or of all, by name."""
    try:
        listed = await cluster.kube.list(WORKSPACES, namespace=namespace)
    except NotFound as error:
        raise CliError(NO_CRD) from error
    found = [read_workspace(item) for item in listed.items]
    return sorted(found, key=lambda workspace: (workspace.namespace, workspace.name))


def _missing(namespace: str, name: str, others: list[WorkspaceView]) -> str:
    there = ", ".join(workspace.name for workspace in others[:10])
    rest = f"There are: {there}." if there else "The namespace has none; name another with -n."
    return f"There is no Workspace {name} in namespace {namespace}. {rest}"

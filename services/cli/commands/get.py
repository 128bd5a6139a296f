"""`kaitobus get`: the Workspaces, what they wait for, and where they answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from services.cli.options import Namespace, TableOutput

if TYPE_CHECKING:
    from services.cli.workspaces import WorkspaceView


def get(
    workspace: Annotated[str | None, typer.Argument(help="Name of one Workspace.", show_default=False)] = None,
    namespace: Namespace = "default",
    all_namespaces: Annotated[bool, typer.Option("--all-namespaces", "-A", help="Of all namespaces.")] = False,
    output: Annotated[TableOutput, typer.Option("--output", "-o", help="text, wide or json.")] = TableOutput.TEXT,
) -> None:
    """List Workspaces: state, endpoint, and the first step that fails."""
    from services.cli.connect import run
    from services.cli.view.console import print_json
    from services.cli.view.table import show_workspaces

    found = run(_read(workspace, None if all_namespaces else namespace))
    if output is TableOutput.JSON:
        print_json([item.to_dict() for item in found])
    else:
        show_workspaces(found, wide=output is TableOutput.WIDE, namespace=None if all_namespaces else namespace)


async def _read(name: str | None, namespace: str | None) -> list[WorkspaceView]:
    from services.cli.connect import cluster
    from services.cli.lookup import find_workspace, list_workspaces

    async with cluster() as found:
        if name:
            return [await find_workspace(found, namespace or "default", name)]
        return await list_workspaces(found, namespace)

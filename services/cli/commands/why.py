"""`kaitobus why`: the first step that fails, in the words of who refused it, and what happens next."""

from __future__ import annotations

from typing import TYPE_CHECKING

from services.cli.options import Namespace, Output, OutputOption, Workspace

if TYPE_CHECKING:
    from services.cli.why import Explanation


def why(workspace: Workspace, namespace: Namespace = "default", output: OutputOption = Output.TEXT) -> None:
    """Say why a Workspace is as it is, who said so, and what happens next."""
    from services.cli.connect import run
    from services.cli.view.console import print_json
    from services.cli.view.why import show_explanation

    found = run(_explain(namespace, workspace))
    if output is Output.JSON:
        print_json(found.to_dict())
    else:
        show_explanation(found)


async def _explain(namespace: str, name: str) -> Explanation:
    from services.cli.connect import cluster
    from services.cli.evidence import crash_logs, warnings
    from services.cli.lookup import find_workspace
    from services.cli.why import explain
    from services.cli.workspaces import first_failing

    async with cluster() as found:
        workspace = await find_workspace(found, namespace, name)
        if first_failing(workspace.status) is None:
            return explain(workspace)
        return explain(workspace, await warnings(found, namespace, name), await crash_logs(found, namespace, name))

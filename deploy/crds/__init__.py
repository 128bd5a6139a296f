"""The custom resource definition of Workspace, made from the models in `services.contracts`.

`kubectl apply -f deploy/crds` installs it on any server from 1.20 on. `cel/` holds the same definition with
CEL rules, so that the server itself refuses what the watcher would otherwise turn down in a condition:
`kubectl apply -f deploy/crds/cel`, for servers from 1.30 on. Two files, because kubectl refuses rules that
an old server does not know. `python -m deploy.crds.generate` writes both, with `--check` it only compares.
"""

from pathlib import Path

PLAIN_FILE = Path(__file__).with_name("kaito.sh_workspaces.yaml")
"""The definition without CEL rules, for every server."""

CEL_FILE = PLAIN_FILE.parent / "cel" / PLAIN_FILE.name
"""The definition with CEL rules."""

CEL_SINCE = (1, 30)
"""The first Kubernetes whose server skips rules on parts that an update leaves alone (ratcheting). Before
it, a rule could lock an object that was taken in without rules. CEL rules as such are older (1.25)."""


def crd_for(version: tuple[int, int]) -> Path:
    """The file to apply to a server of that version (major, minor)."""
    return CEL_FILE if version >= CEL_SINCE else PLAIN_FILE

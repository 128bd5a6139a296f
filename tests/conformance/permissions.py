"""A provisioner's own account in the cluster, with the rights that its page in docs/providers says, and no others."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

from tests.plane import Kubectl

PAGES = Path(__file__).parents[2] / "docs" / "providers"
ACCOUNT = """
apiVersion: v1
kind: ServiceAccount
metadata: {{name: {name}, namespace: default}}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {{name: {name}}}
roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: {name}}}
subjects: [{{kind: ServiceAccount, name: {name}, namespace: default}}]
"""


def role_on(page: str, name: str) -> str | None:
    """The ClusterRole of that name that stands on a page; None where there is none."""
    blocks = re.findall(r"```yaml\n(.*?)```", (PAGES / page).read_text("utf-8"), re.DOTALL)
    return next((block for block in blocks if yaml.safe_load(block)["metadata"]["name"] == name), None)


async def kubeconfig(page: str, provider: str, kubectl: Kubectl, admin: Path, folder: Path) -> Path:
    """The kubeconfig of an account with the page's role; the administrator's where the page has none."""
    name = f"kaitobus-provisioner-{provider}"
    role = role_on(page, name)
    if role is None:
        return admin
    await kubectl("apply", "-f", "-", stdin=f"{role}\n---{ACCOUNT.format(name=name)}")
    token = (await kubectl("create", "token", name, "--duration=1h")).strip()
    config = yaml.safe_load(admin.read_text("utf-8"))
    for user in config["users"]:
        user["user"] = {"token": token}
    path = folder / "kubeconfig"
    path.write_text(yaml.safe_dump(config), "utf-8")
    return path

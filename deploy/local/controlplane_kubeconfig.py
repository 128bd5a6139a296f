"""Kubeconfig files: how kubectl, the services and the components of the control plane reach the API server."""

import base64
from pathlib import Path

import yaml

from deploy.local.controlplane_pki import KeyPair, write_private


def token_user(token: str) -> dict[str, object]:
    """Describe a user who shows a bearer token."""
    return {"token": token}


def certificate_user(pair: KeyPair) -> dict[str, object]:
    """Describe a user who shows a client certificate, its content included."""
    return {"client-certificate-data": _encoded(pair.cert), "client-key-data": _encoded(pair.key)}


def write_kubeconfig(path: Path, url: str, ca: Path, name: str, user: dict[str, object]) -> None:
    """Write a kubeconfig that stands on its own, readable for the user alone, for `user` at `url`."""
    cluster = {"server": url, "certificate-authority-data": _encoded(ca)}
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "kaitobus", "cluster": cluster}],
        "users": [{"name": name, "user": user}],
        "contexts": [{"name": "kaitobus", "context": {"cluster": "kaitobus", "user": name}}],
        "current-context": "kaitobus",
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    write_private(path, yaml.safe_dump(content, sort_keys=False).encode())


def _encoded(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()

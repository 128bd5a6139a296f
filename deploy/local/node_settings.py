"""What the local provisioner tells its node agents: where they live, and which programs stand for images."""

from __future__ import annotations

from pathlib import Path

import yaml

from deploy.local.controlplane_pki import Pki
from deploy.local.engine import EngineEnv
from deploy.local.services import IMAGE
from deploy.local.state import LocalState


def node_settings(state: LocalState, engine: EngineEnv, models: Path, pki: Pki | None) -> dict[str, str]:
    """Write the file of images, and return the environment of the local provisioner.

    `models` is the folder in which each model has one of its own. With `pki`, that of our own control plane, the
    agents serve logs to its API server alone.
    """
    images = state.folder / "images.yaml"
    images.write_text(yaml.safe_dump({IMAGE: {"path": [str(engine.bin)]}}))
    settings = {"STATE_DIR": state.node_folder, "IMAGES": images, "MODEL_DIR": models}
    if pki:
        settings |= {"CLIENT_CA": pki.ca.cert, "TLS_CERT": pki.kubelet.cert, "TLS_KEY": pki.kubelet.key}
    return {f"KAITOBUS_LOCAL_{name}": str(path) for name, path in settings.items()}

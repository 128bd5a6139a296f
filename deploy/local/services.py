"""The services of Kaito Bus as processes of this machine. No I/O."""

from __future__ import annotations

import sys
from collections.abc import Mapping

from deploy.local.engine.cache import cache_home
from deploy.local.process import ProcessSpec, Ready
from deploy.local.state import LocalState

MODULES = {
    "watcher": "services.watcher",
    "scheduler": "services.scheduler",
    "provisioner-local": "services.provisioner",
    "provisioner-fake": "services.provisioner",
    "deployer": "services.deployer",
}
"""What is started, by process name. One provisioner process serves one provider."""

IMAGE = "kaitobus/inference:local"
"""The image that pods name here; the node agent runs it as a process of the engine's environment."""


def service_processes(
    state: LocalState, ports: Mapping[str, int], node_environment: Mapping[str, str]
) -> list[ProcessSpec]:
    """Describe the processes. `ports` are those of their probes, `node_environment` is for the local provisioner."""
    own = {
        "provisioner-local": {"KAITOBUS_PROVIDER": "local", **node_environment},
        "provisioner-fake": {"KAITOBUS_PROVIDER": "fake"},
        "deployer": {
            "KAITOBUS_INFERENCE_IMAGE": IMAGE,
            "KAITOBUS_LOCAL_PORTS": "true",
            "KAITOBUS_COMPILE_CACHE": str(cache_home() / "compiled"),
        },
    }
    return [_process(state, name, module, ports[name], own.get(name, {})) for name, module in MODULES.items()]


def _process(state: LocalState, name: str, module: str, port: int, own: Mapping[str, str]) -> ProcessSpec:
    return ProcessSpec(
        name=name,
        argv=(sys.executable, "-m", module),
        env={
            "KUBECONFIG": str(state.kubeconfig),
            "KAITOBUS_NATS_URL": state.nats_url,
            "KAITOBUS_HTTP_HOST": "127.0.0.1",
            "KAITOBUS_HTTP_PORT": str(port),
            **own,
        },
        ready=Ready(url=f"http://127.0.0.1:{port}/readyz"),
        log_path=state.logs / f"{name}.log",
    )

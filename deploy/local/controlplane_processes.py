"""The four processes of a Kubernetes control plane, as data.

Flags hold for Kubernetes 1.20 and for current releases; where they differ the version decides. Everything
listens on 127.0.0.1 only, and the store is readable with the API server's certificate alone.
"""

from pathlib import Path

from pydantic import BaseModel, ConfigDict

from deploy.local.binaries import Binaries
from deploy.local.controlplane_pki import KeyPair, Pki
from deploy.local.process import ProcessSpec, Ready

ETCD = "etcd"
APISERVER = "kube-apiserver"
CONTROLLER_MANAGER = "kube-controller-manager"
SCHEDULER = "kube-scheduler"

PORTS = (ETCD, "etcd-peer", "etcd-metrics", APISERVER, CONTROLLER_MANAGER, SCHEDULER)
"""Names of the ports that the processes need."""

SERVICE_RANGE = "10.96.0.0/16"
"""Cluster addresses of services; kubeadm's default network."""
SERVICE_ADDRESS = "10.96.0.1"
"""The address of the service `kubernetes`: the first of the range, by the API server's own rule."""

GARBAGE = {"GOGC": "200"}
"""Go's own default, 100, looks for garbage more often than two cores have time for; the price is memory."""

_INSECURE_PORTS_GONE = (1, 24)
"""Before it, controller-manager and scheduler serve plain HTTP on all addresses unless told not to."""


class ControlPlaneConfig(BaseModel):
    """All that the processes are made of: programs, folders, ports, certificates."""

    model_config = ConfigDict(frozen=True)

    binaries: Binaries
    version: tuple[int, int]
    """Kubernetes' major and minor version, such as (1, 34)."""
    state: Path
    ports: dict[str, int]
    pki: Pki
    address: str
    """This machine's address. The service `kubernetes` names it."""

    @property
    def url(self) -> str:
        """Where the API server serves."""
        return f"https://127.0.0.1:{self.ports[APISERVER]}"

    def kubeconfig(self, name: str) -> Path:
        """Return the path of the kubeconfig of a component, or of `admin`."""
        return self.state / "kubeconfigs" / name


def control_plane_processes(config: ControlPlaneConfig) -> list[ProcessSpec]:
    """Describe the four processes in the order in which they start; they are ended in the reverse one."""
    return [_etcd(config), _apiserver(config), _controller_manager(config), _scheduler(config)]


def _etcd(config: ControlPlaneConfig) -> ProcessSpec:
    ports = config.ports
    client, peer = (f"https://127.0.0.1:{ports[name]}" for name in (ETCD, "etcd-peer"))
    metrics = f"http://127.0.0.1:{ports['etcd-metrics']}"
    flags = {
        "name": "local",
        "data-dir": config.state / "etcd",
        "listen-client-urls": client,
        "advertise-client-urls": client,
        "listen-peer-urls": peer,
        "initial-advertise-peer-urls": peer,
        "initial-cluster": f"local={peer}",
        "listen-metrics-urls": metrics,
        **_tls(config.pki.etcd, "cert-file", "key-file"),
        **_tls(config.pki.etcd, "peer-cert-file", "peer-key-file"),
        "client-cert-auth": "true",
        "trusted-ca-file": config.pki.etcd_ca.cert,
        "peer-client-cert-auth": "true",
        "peer-trusted-ca-file": config.pki.etcd_ca.cert,
        # Survives the death of any process, not the loss of power: right for a cluster made for trying out.
        "unsafe-no-fsync": "true",
        # The only member has nobody to wait for: a restart need not take etcd's usual 1 to 2 s of election.
        "heartbeat-interval": 40,
        "election-timeout": 200,
        "logger": "zap",
        "log-level": "warn",
    }
    return _spec(config, ETCD, config.binaries.etcd, flags, Ready(url=f"{metrics}/health"))


def _apiserver(config: ControlPlaneConfig) -> ProcessSpec:
    pki = config.pki
    flags = {
        "bind-address": "127.0.0.1",
        "secure-port": config.ports[APISERVER],
        # Named, because without it a machine without a default route cannot start the API server.
        "advertise-address": config.address,
        "etcd-servers": f"https://127.0.0.1:{config.ports[ETCD]}",
        "etcd-cafile": pki.etcd_ca.cert,
        **_tls(pki.etcd, "etcd-certfile", "etcd-keyfile"),
        **_tls(pki.apiserver, "tls-cert-file", "tls-private-key-file"),
        "client-ca-file": pki.ca.cert,
        "token-auth-file": pki.token_file,
        "authorization-mode": "RBAC",
        "allow-privileged": "true",
        "service-cluster-ip-range": SERVICE_RANGE,
        "service-account-issuer": "https://kubernetes.default.svc",
        "service-account-key-file": pki.service_account_key,
        "service-account-signing-key-file": pki.service_account_key,
        **_tls(pki.kubelet_client, "kubelet-client-certificate", "kubelet-client-key"),
        "kubelet-certificate-authority": pki.ca.cert,
        "kubelet-preferred-address-types": "InternalIP",
        "profiling": "false",
        # One user has nobody to share with, and to count the shares is a third of what 1.20 does at rest.
        "enable-priority-and-fairness": "false",
    }
    ready = _ready(config, APISERVER, "readyz")
    spec = _spec(config, APISERVER, config.binaries.kube_apiserver, flags, ready)
    # It would wait a minute for open watches to end by themselves. All that counts is in etcd by then.
    return spec.model_copy(update={"grace_s": 2.0})


def _controller_manager(config: ControlPlaneConfig) -> ProcessSpec:
    flags = {
        **_client_flags(config, CONTROLLER_MANAGER),
        # Each controller with a service account and rights of its own, as kubeadm sets it up.
        "use-service-account-credentials": "true",
        "service-account-private-key-file": config.pki.service_account_key,
        "root-ca-file": config.pki.ca.cert,
        # The defaults, 20 and 30 a second, are meant for a shared API server and slow a burst of objects down.
        "kube-api-qps": 200,
        "kube-api-burst": 400,
        # All that are on by default. Those that need a cloud, or certificates to sign with, see that they
        # have none and stay off.
        "controllers": "*",
    }
    program = config.binaries.kube_controller_manager
    return _spec(config, CONTROLLER_MANAGER, program, flags, _ready(config, CONTROLLER_MANAGER, "healthz"))


def _scheduler(config: ControlPlaneConfig) -> ProcessSpec:
    flags = _client_flags(config, SCHEDULER)
    return _spec(config, SCHEDULER, config.binaries.kube_scheduler, flags, _ready(config, SCHEDULER, "healthz"))


def _client_flags(config: ControlPlaneConfig, name: str) -> dict[str, object]:
    """Flags that the controller-manager and the scheduler have in common."""
    flags: dict[str, object] = {
        "kubeconfig": config.kubeconfig(name),
        "bind-address": "127.0.0.1",
        "secure-port": config.ports[name],
        **_tls(config.pki.apiserver, "tls-cert-file", "tls-private-key-file"),
        # One of each runs, so there is nobody to elect, and a restart need not wait for an old lease.
        "leader-elect": "false",
        "profiling": "false",
    }
    return flags | ({"port": 0} if config.version < _INSECURE_PORTS_GONE else {})


def _tls(pair: KeyPair, cert_flag: str, key_flag: str) -> dict[str, object]:
    return {cert_flag: pair.cert, key_flag: pair.key}


def _ready(config: ControlPlaneConfig, name: str, path: str) -> Ready:
    return Ready(url=f"https://127.0.0.1:{config.ports[name]}/{path}", ca_file=config.pki.ca.cert)


def _spec(config: ControlPlaneConfig, name: str, program: Path, flags: dict[str, object], ready: Ready) -> ProcessSpec:
    return ProcessSpec(
        name=name,
        argv=(str(program), *(f"--{flag}={value}" for flag, value in flags.items())),
        env=GARBAGE,
        ready=ready,
        log_path=config.state / "logs" / f"{name}.log",
    )

"""The four processes as data: what differs between Kubernetes releases, and what never does."""

from pathlib import Path

import pytest

from deploy.local.binaries import Binaries
from deploy.local.controlplane_pki import ensure_pki
from deploy.local.controlplane_processes import PORTS, ControlPlaneConfig, control_plane_processes
from deploy.local.process import ProcessSpec


@pytest.fixture
def config(tmp_path: Path) -> ControlPlaneConfig:
    return ControlPlaneConfig(
        binaries=Binaries.in_folder(Path("/programs")),
        version=(1, 34),
        state=tmp_path,
        ports={name: 20000 + number for number, name in enumerate(PORTS)},
        pki=ensure_pki(tmp_path / "pki", "10.1.2.3", "10.96.0.1"),
        address="10.1.2.3",
    )


def described(config: ControlPlaneConfig, version: tuple[int, int]) -> dict[str, ProcessSpec]:
    specs = control_plane_processes(config.model_copy(update={"version": version}))
    return {spec.name: spec for spec in specs}


def test_they_start_in_the_order_in_which_they_need_each_other(config: ControlPlaneConfig) -> None:
    assert list(described(config, (1, 34))) == [
        "etcd",
        "kube-apiserver",
        "kube-controller-manager",
        "kube-scheduler",
    ]


@pytest.mark.parametrize("name", ["kube-controller-manager", "kube-scheduler"])
def test_plain_http_is_off_where_it_is_on_by_default(config: ControlPlaneConfig, name: str) -> None:
    assert "--port=0" in described(config, (1, 20))[name].argv
    assert "--port=0" in described(config, (1, 23))[name].argv


@pytest.mark.parametrize("name", ["kube-controller-manager", "kube-scheduler"])
def test_releases_that_have_dropped_the_flag_do_not_get_it(config: ControlPlaneConfig, name: str) -> None:
    assert not [flag for flag in described(config, (1, 24))[name].argv if flag.startswith("--port=")]


def test_everything_listens_on_the_loopback_address_alone(config: ControlPlaneConfig) -> None:
    specs = described(config, (1, 34))
    listening = [flag for flag in specs["etcd"].argv if flag.startswith("--listen-")]
    assert len(listening) == 3
    assert all("://127.0.0.1:" in flag for flag in listening)
    assert all("--bind-address=127.0.0.1" in spec.argv for name, spec in specs.items() if name != "etcd")


def test_no_secret_stands_on_a_command_line(config: ControlPlaneConfig) -> None:
    assert config.pki.token
    assert not [s.name for s in described(config, (1, 34)).values() if config.pki.token in " ".join(s.argv)]

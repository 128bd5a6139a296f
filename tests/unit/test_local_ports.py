"""Ports stay the same over restarts, unless somebody else has taken one meanwhile."""

import socket
from pathlib import Path

from deploy.local.ports import assign_ports


def test_ports_are_different_free_and_remembered(tmp_path: Path) -> None:
    ports = assign_ports(tmp_path / "ports.json", ["etcd", "kube-apiserver"])
    assert len(set(ports.values())) == 2
    assert assign_ports(tmp_path / "ports.json", ["etcd", "kube-apiserver"]) == ports


def test_names_added_later_leave_the_others_alone(tmp_path: Path) -> None:
    etcd = assign_ports(tmp_path / "ports.json", ["etcd"])["etcd"]
    assert assign_ports(tmp_path / "ports.json", ["nats"]).keys() == {"nats"}
    assert assign_ports(tmp_path / "ports.json", ["etcd", "nats"])["etcd"] == etcd


def test_a_port_taken_by_somebody_else_is_changed_and_one_taken_by_ourselves_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "ports.json"
    etcd = assign_ports(path, ["etcd"])["etcd"]
    with socket.create_server(("127.0.0.1", etcd)):
        assert assign_ports(path, ["etcd"], running=["etcd"])["etcd"] == etcd
        assert assign_ports(path, ["etcd"])["etcd"] != etcd


def test_a_damaged_file_is_made_anew(tmp_path: Path) -> None:
    (tmp_path / "ports.json").write_text("{")
    ports = assign_ports(tmp_path / "ports.json", ["etcd"])
    assert assign_ports(tmp_path / "ports.json", ["etcd"]) == ports

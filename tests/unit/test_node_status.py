"""The node agent: the Node object, its command line, its logs, and the ports of Services."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from deploy.local.node.log_files import Follower, LogQuery, parse_query, selected
from deploy.local.node.machine import Machine
from deploy.local.node.node_status import (
    Address,
    adoption_patch,
    capacity,
    new_node,
    node_conditions,
    node_status,
    worth_writing,
)
from deploy.local.node.options import NodeOptions, Taint, key_values, quantity, taints
from deploy.local.node.service_ports import LocalPod, Service, address_annotation, parse_service, routes
from services.chassis.kube import JsonObject, dig
from tests.unit.node_objects import make_container, make_pod

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
GIB = 2**30
MACHINE = Machine(
    cpus=8, memory_total=16 * GIB, memory_available=8 * GIB, disk_total=100 * GIB, disk_free=50 * GIB,
    inodes_free_share=0.9, threads=500, threads_limit=100_000, kernel="6.1", os_image="Linux", machine_id="m",
    boot_id="b", arch="amd64",
)  # fmt: skip


def options(**fields: object) -> NodeOptions:
    return NodeOptions.model_validate({"name": "n", "kubeconfig": "/k", "state_dir": "/s", **fields})


def statuses(machine: Machine) -> dict[str, str]:
    return {condition.type: condition.status for condition in node_conditions(machine)}


def test_a_machine_that_has_enough_is_ready() -> None:
    assert statuses(MACHINE) == {
        "MemoryPressure": "False", "DiskPressure": "False", "PIDPressure": "False", "Ready": "True"
    }  # fmt: skip


@pytest.mark.parametrize(
    ("shortage", "kind"),
    [
        ({"memory_available": 99 * 2**20}, "MemoryPressure"),
        ({"disk_free": GIB - 1}, "DiskPressure"),
        ({"inodes_free_share": 0.001}, "DiskPressure"),
        ({"threads": 95_000}, "PIDPressure"),
    ],
)
def test_a_shortage_is_a_pressure(shortage: dict[str, float], kind: str) -> None:
    short = Machine(**{**MACHINE._asdict(), **shortage})
    assert [name for name, status in statuses(short).items() if status == "True"] == [kind, "Ready"]


def test_the_node_offers_what_it_was_told_else_the_machine() -> None:
    assert capacity(options(), MACHINE)["cpu"] == "8"
    offered = capacity(options(cpu="2", memory="4Gi", gpus=1), MACHINE)
    assert (offered["cpu"], offered["memory"], offered["nvidia.com/gpu"]) == ("2", "4Gi", "1")
    assert "nvidia.com/gpu" not in capacity(options(), MACHINE)


def test_a_new_node_carries_labels_taints_and_provider_id() -> None:
    taint = Taint(key="sku", value="gpu", effect="NoSchedule")
    node = new_node(options(labels={"a": "b"}, taints=(taint,), provider_id="local://n"), "amd64")
    assert dig(node, "metadata", "labels", "kubernetes.io/hostname") == "n"
    assert dig(node, "metadata", "labels", "a") == "b"
    assert dig(node, "spec") == {
        "taints": [{"key": "sku", "value": "gpu", "effect": "NoSchedule"}], "providerID": "local://n"
    }  # fmt: skip


def test_a_node_of_another_machine_is_not_taken() -> None:
    existing: JsonObject = {"spec": {"providerID": "azure://x"}}
    with pytest.raises(ValueError, match="'azure://x'"):
        adoption_patch(options(provider_id="local://n"), "amd64", existing)
    assert "spec" not in adoption_patch(options(), "amd64", existing)


def test_a_status_is_written_when_it_changed_or_is_a_minute_old() -> None:
    def at(seconds: int, machine: Machine = MACHINE) -> JsonObject:
        moment = NOW + timedelta(seconds=seconds)
        return node_status(options(), machine, Address("192.0.2.7", 10250), {"status": first}, moment)

    first: JsonObject = {}
    first = at(0)
    assert worth_writing(first, None, timedelta(0))
    assert not worth_writing(at(10), first, timedelta(seconds=10))
    assert worth_writing(at(60), first, timedelta(seconds=60))
    assert worth_writing(at(10, MACHINE._replace(disk_free=0)), first, timedelta(seconds=10))


def test_the_command_line() -> None:
    assert key_values("a=b,c=") == {"a": "b", "c": ""}
    assert taints("k=v:NoSchedule,t:NoExecute") == (
        Taint(key="k", value="v", effect="NoSchedule"),
        Taint(key="t", effect="NoExecute"),
    )
    assert quantity("4Gi") == "4Gi"


@pytest.mark.parametrize(
    ("parse", "text"),
    [(key_values, "a"), (key_values, "=b"), (taints, "a=b"), (taints, "a:Never"), (quantity, "4GB"), (quantity, "0")],
)
def test_a_wrong_argument_is_repeated(parse: object, text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match=f"'{text}'"):
        parse(text)  # type: ignore[operator]  # one of the functions above


LOG = [b"2026-01-02T03:04:0%d.000000Z stdout F line %d" % (n, n) for n in range(4)]


def shown(query: LogQuery) -> bytes:
    return b"".join(entry.shown(timestamps=query.timestamps) for entry in selected(LOG, query))


def test_the_part_of_a_log_that_is_asked_for() -> None:
    assert shown(LogQuery(tail_lines=1)) == b"line 3\n"
    assert shown(LogQuery(tail_lines=0)) == b""
    assert shown(LogQuery(since=NOW - timedelta(seconds=2), tail_lines=9)) == b"line 3\n"
    assert shown(LogQuery(tail_lines=1, timestamps=True)) == b"2026-01-02T03:04:03.000000Z line 3\n"


def test_a_line_in_parts_is_put_together() -> None:
    parts = [b"t stdout P ab", b"t stdout F cd"]
    assert b"".join(entry.shown(timestamps=False) for entry in selected(parts, LogQuery())) == b"abcd\n"


def test_the_query_of_kubectl() -> None:
    asked = {"follow": "true", "tailLines": "5", "sinceSeconds": "60"}
    assert parse_query(asked, NOW) == LogQuery(follow=True, tail_lines=5, since=NOW - timedelta(minutes=1))
    for wrong in ({"tailLines": "-1"}, {"sinceTime": "yesterday"}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            parse_query(wrong, NOW)


def test_a_log_is_followed_when_it_is_moved_aside(tmp_path: Path) -> None:
    log = tmp_path / "log"
    follower = Follower(log)
    assert follower.read() == []
    log.write_bytes(b"1\n2")
    assert follower.read() == [b"1"]
    log.open("ab").write(b"!\n3\n")
    log.replace(tmp_path / "log.1")
    log.write_bytes(b"4\n")
    assert follower.read() == [b"2!", b"3", b"4"]
    assert Follower(log).read() == [b"1", b"2!", b"3", b"4"]


def service(**spec: object) -> Service:
    made = parse_service({"metadata": {"name": "s", "namespace": "ns", "uid": "u"}, "spec": spec})
    assert made is not None
    return made


def local(*, ready: bool = True) -> LocalPod:
    container = make_container(ports=[{"containerPort": 5000, "name": "http"}])
    return LocalPod(make_pod(container, labels={"app": "x", "more": "y"}), ready, {5000: 17000})


@pytest.mark.parametrize("target", [5000, "http"])
def test_a_service_leads_to_the_real_port_of_its_pod(target: int | str) -> None:
    one = service(selector={"app": "x"}, ports=[{"port": 80, "targetPort": target}])
    (route,) = routes([one], [local()])
    assert (route.port, route.backends) == (80, (17000,))


def test_a_service_keeps_its_port_while_its_pod_is_not_ready() -> None:
    one = service(selector={"app": "x"}, ports=[{"port": 80, "targetPort": 5000}])
    (route,) = routes([one], [local(ready=False)])
    assert route.backends == ()


@pytest.mark.parametrize(
    "spec",
    [
        {"selector": {"app": "z"}, "ports": [{"port": 80}]},
        {"selector": {"app": "x"}, "ports": [{"port": 80, "protocol": "UDP"}]},
    ],
)
def test_a_service_of_others_gets_no_port(spec: dict[str, object]) -> None:
    assert routes([service(**spec)], [local()]) == []


@pytest.mark.parametrize("spec", [{}, {"selector": {"app": "x"}, "clusterIP": "None"}])
def test_a_service_without_selector_or_cluster_ip_is_none_of_ours(spec: dict[str, object]) -> None:
    assert parse_service({"metadata": {"name": "s", "uid": "u"}, "spec": spec}) is None


def test_the_annotation_of_a_service() -> None:
    assert address_annotation({80: 17001}) == '{"80": "127.0.0.1:17001"}'
    assert address_annotation({}) is None

"""The Node object of this machine: what it is, what it has, how it is doing. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from deploy.local.node.machine import Machine
from deploy.local.node.options import NodeOptions
from deploy.local.node.pod import Condition
from deploy.local.node.pod_status import merged_conditions, timestamp
from services.chassis.kube import JsonObject, dig_dict, dig_str

GIB = 2**30
LEAST_MEMORY = 100 * 2**20
"""Bytes available below which the node is under memory pressure: the kubelet's default."""
LEAST_DISK = GIB
LEAST_INODES = 0.01
"""The kubelet wants 10 % of the disk and 5 % of the inodes free. It owns its machine; we are a guest on one that has
other work, where a tenth of a large disk is much: less than this leaves no room for logs."""
MOST_THREADS = 0.9
REPORT_EVERY = timedelta(minutes=1)
PODS = 110
VERSION = "v1.20.2-kaitobus"
"""What the node says as its kubelet version: the API it was written against, the oldest that is supported."""
MANAGER = "kaitobus-node"


class Address(NamedTuple):
    """Where the node is reached: by the API server, and on which port for logs."""

    ip: str
    port: int


def own_labels(options: NodeOptions, arch: str) -> dict[str, str]:
    """The labels of the node: what it was given, and the well-known ones."""
    return {
        "kubernetes.io/hostname": options.name,
        "kubernetes.io/os": "linux",
        "kubernetes.io/arch": arch,
        "node.kubernetes.io/instance-type": options.instance_type,
        **options.labels,
    }


def new_node(options: NodeOptions, arch: str) -> JsonObject:
    """A Node that does not exist yet."""
    spec: JsonObject = {"taints": [taint.model_dump() for taint in options.taints]}
    if options.provider_id:
        spec["providerID"] = options.provider_id
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": options.name,
            "labels": own_labels(options, arch),
            "annotations": dict(options.annotations),
        },
        "spec": spec,
    }


def adoption_patch(options: NodeOptions, arch: str, existing: JsonObject) -> JsonObject:
    """What an existing Node lacks. Its taints stay: they are of whoever made it.

    Raises ValueError when it belongs to another machine: providerID can't be changed.
    """
    known = dig_str(existing, "spec", "providerID")
    if known and options.provider_id and known != options.provider_id:
        raise ValueError(
            f"Node {options.name} exists already with providerID {known!r}, and this agent was given "
            f"{options.provider_id!r}. Choose another --name, or delete that Node"
        )
    patch: JsonObject = {
        "metadata": {"labels": own_labels(options, arch), "annotations": dict(options.annotations)},
    }
    if options.provider_id and not known:
        patch["spec"] = {"providerID": options.provider_id}
    return patch


def capacity(options: NodeOptions, machine: Machine) -> dict[str, str]:
    """What the node offers, as Kubernetes quantities: all of it may be given to pods."""
    offered = {
        "cpu": options.cpu or str(machine.cpus),
        "memory": options.memory or f"{machine.memory_total // 1024}Ki",
        "ephemeral-storage": f"{machine.disk_total // 1024}Ki",
        "pods": str(PODS),
    }
    return offered | ({"nvidia.com/gpu": str(options.gpus)} if options.gpus else {})


def node_conditions(machine: Machine, stopping: str = "") -> list[Condition]:
    """How the machine is doing. `stopping`: why the agent is about to leave, if it is."""
    memory = f"{machine.memory_available // 2**20} MiB of memory are available"
    disk = f"{machine.disk_free / GIB:.1f} GiB of disk and {machine.inodes_free_share:.0%} of inodes are free"
    threads = f"{machine.threads} of {machine.threads_limit} threads are in use"
    low_disk = machine.disk_free < LEAST_DISK or machine.inodes_free_share < LEAST_INODES
    return [
        _pressure("MemoryPressure", "Memory", machine.memory_available < LEAST_MEMORY, memory),
        _pressure("DiskPressure", "Disk", low_disk, disk),
        _pressure("PIDPressure", "PID", machine.threads > MOST_THREADS * machine.threads_limit, threads),
        _ready(stopping),
    ]


def _pressure(kind: str, what: str, pressed: bool, message: str) -> Condition:
    if pressed:
        return Condition(type=kind, status="True", reason=f"KubeletHasInsufficient{what}", message=message)
    names = {"Memory": "KubeletHasSufficientMemory", "Disk": "KubeletHasNoDiskPressure"}
    reason = names.get(what, "KubeletHasSufficientPID")
    return Condition(type=kind, status="False", reason=reason, message="there is enough")


def _ready(stopping: str) -> Condition:
    if stopping:
        return Condition(type="Ready", status="False", reason="NodeAgentStopped", message=stopping)
    return Condition(type="Ready", status="True", reason="KubeletReady", message="the node agent is running")


def node_status(
    options: NodeOptions,
    machine: Machine,
    address: Address,
    existing: JsonObject,
    now: datetime,
    stopping: str = "",
) -> JsonObject:
    """The whole status of the node."""
    offered = capacity(options, machine)
    old = [Condition.model_validate(one) for one in _conditions(existing)]
    beat = {"last_heartbeat_time": timestamp(now)}
    new = [condition.model_copy(update=beat) for condition in node_conditions(machine, stopping)]
    return {
        "capacity": offered,
        "allocatable": offered,
        "conditions": merged_conditions(old, new, timestamp(now)),
        "addresses": [{"type": "InternalIP", "address": address.ip}],
        "daemonEndpoints": {"kubeletEndpoint": {"Port": address.port}},
        "nodeInfo": _node_info(machine),
    }


def _conditions(node: JsonObject) -> Sequence[object]:
    found = dig_dict(node, "status").get("conditions")
    return found if isinstance(found, list) else []


def _node_info(machine: Machine) -> dict[str, str]:
    return {
        "architecture": machine.arch,
        "operatingSystem": "linux",
        "osImage": machine.os_image,
        "kernelVersion": machine.kernel,
        "machineID": machine.machine_id,
        "systemUUID": machine.machine_id,
        "bootID": machine.boot_id,
        "kubeletVersion": VERSION,
        "kubeProxyVersion": VERSION,
        "containerRuntimeVersion": "process://1",
    }


def without_beat(status: Mapping[str, object]) -> JsonObject:
    """A status without the time of its writing, to see whether anything else has changed."""
    found = status.get("conditions")
    conditions = [
        {key: value for key, value in one.items() if key != "lastHeartbeatTime"}
        for one in (found if isinstance(found, list) else [])
        if isinstance(one, dict)
    ]
    return {**status, "conditions": conditions}


def worth_writing(status: JsonObject, written: JsonObject | None, age: timedelta) -> bool:
    """Whether a status is to be written: something has changed, or a minute has passed since the last time."""
    return written is None or age >= REPORT_EVERY or without_beat(status) != without_beat(written)

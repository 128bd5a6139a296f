"""The Node object that is a fake machine: made when the machine is asked for, ready once it has booted. Pure.

The object is the only record of the machine, so that any process, at any time, sees the same machines.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Final, NamedTuple

from services.chassis.kube import JsonObject, dig_dict, dig_dicts, dig_str
from services.contracts.workspace import LABEL_OWNER_UID, LABEL_WORKSPACE, LABEL_WORKSPACE_NAMESPACE
from services.provisioner.node_facts import GPU_RESOURCES, moment, owner_in, strings, taint_object
from services.provisioner.provider import Instance, InstanceSpec, InstanceState
from services.provisioner.skus import Sku

CREATED: Final = "fake.kaito.sh/created-at"
BOOTED: Final = "fake.kaito.sh/booted-at"
VANISHES: Final = "fake.kaito.sh/vanishes-at"
FAILS: Final = "fake.kaito.sh/turns-not-ready-at"
INSTANCE_TYPE: Final = "node.kubernetes.io/instance-type"
HOSTNAME: Final = "kubernetes.io/hostname"
_PLATFORM: Final = {"os": "linux", "arch": "amd64"}
_OWNER: Final = (LABEL_WORKSPACE_NAMESPACE, LABEL_WORKSPACE, LABEL_OWNER_UID)
NO_FATE: Final[Mapping[str, str]] = {}
STANDARD: Final = {
    f"{prefix}kubernetes.io/{key}": value for prefix in ("", "beta.") for key, value in _PLATFORM.items()
}
"""As a kubelet sets them. Under the older name, too: else the node lifecycle controller adds it, node by node."""


def new_node(spec: InstanceSpec, now: datetime, booted_at: datetime, fate: Mapping[str, str] = NO_FATE) -> JsonObject:
    """A machine that has just been asked for. Without capacity no pod is put on it yet.

    `fate` are annotations with the times at which something happens to it.
    """
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": spec.name,
            "labels": STANDARD | spec.labels | {HOSTNAME: spec.name, INSTANCE_TYPE: spec.instance_type},
            "annotations": {**fate, CREATED: now.isoformat(), BOOTED: booted_at.isoformat()},
        },
        "spec": {"providerID": f"kaitobus-fake://{spec.name}", "taints": [taint_object(t) for t in spec.taints]},
        "status": {"conditions": [_condition("Ready", "False", "Booting", "the fake machine is booting", now)]},
    }


def booted_status(node: JsonObject, sku: Sku | None, now: datetime) -> JsonObject:
    """The status of a machine that has booted, with what its size has."""
    name = dig_str(node, "metadata", "name")
    capacity = _capacity(sku)
    pressures = ("MemoryPressure", "DiskPressure", "PIDPressure")
    return {
        "capacity": capacity,
        "allocatable": capacity,
        "addresses": [{"type": "Hostname", "address": name}],
        "nodeInfo": _node_info(name),
        "conditions": [
            *(_condition(kind, "False", "Sufficient", "the fake machine has enough", now) for kind in pressures),
            _condition("Ready", "True", "Booted", "the fake machine has booted", now),
        ],
    }


class Course(NamedTuple):
    """What the clock makes of a node, read off it once: it is asked of every node several times a second."""

    node: JsonObject
    is_machine: bool
    booted: datetime | None
    fails: datetime | None
    vanishes: datetime | None
    is_ready: bool
    is_going: bool

    @classmethod
    def of(cls, node: JsonObject) -> Course:
        """Read a Node object."""
        return cls(
            node=node,
            is_machine=is_machine(node),
            booted=_time(node, BOOTED),
            fails=_time(node, FAILS),
            vanishes=_time(node, VANISHES),
            is_ready=is_ready(node),
            is_going=bool(dig_str(node, "metadata", "deletionTimestamp")),
        )

    def is_booting(self, now: datetime) -> bool:
        """Whether the machine was asked for, and has not booted yet."""
        return self.booted is not None and now < self.booted

    def is_due(self, now: datetime) -> bool:
        """Whether the machine should have booted, but its status does not say so."""
        if self.is_ready or self.is_going or self.is_booting(now):
            return False
        return self.fails is None or now < self.fails

    def is_failing(self, now: datetime) -> bool:
        """Whether the node should have turned NotReady, but its status does not say so."""
        return self.is_ready and self.fails is not None and self.fails <= now

    def vanished(self, now: datetime) -> bool:
        """Whether the machine should have been taken away."""
        return self.vanishes is not None and self.vanishes <= now


class Courses:
    """The courses of all fake machines, each read anew when its node has become another."""

    def __init__(self) -> None:
        self._known: dict[str, Course] = {}

    def of(self, nodes: Mapping[str, JsonObject]) -> dict[str, Course]:
        """By name, without nodes that are no machines."""
        before = self._known
        self._known = {name: _same(before.get(name), node) or Course.of(node) for name, node in nodes.items()}
        return {name: course for name, course in self._known.items() if course.is_machine}


def _same(course: Course | None, node: JsonObject) -> Course | None:
    return course if course is not None and course.node is node else None


def failing_status(now: datetime) -> JsonObject:
    """The status of a node whose kubelet does not feel well."""
    return {"conditions": [_condition("Ready", "False", "KubeletNotReady", "the fake kubelet has stopped", now)]}


def is_ready(node: JsonObject) -> bool:
    """Whether the node's status says that it is Ready."""
    conditions = dig_dicts(node, "status", "conditions")
    return any(c.get("type") == "Ready" and c.get("status") == "True" for c in conditions)


def instance_of(node: JsonObject, now: datetime) -> Instance:
    """The machine that a Node stands for. Raises ValueError if it carries no owner."""
    labels = strings(dig_dict(node, "metadata", "labels"))
    owner = owner_in(labels)
    if owner is None:
        raise ValueError("the node carries no workspace")
    name = dig_str(node, "metadata", "name")
    created = _time(node, CREATED) or moment(dig_str(node, "metadata", "creationTimestamp")) or now
    booted = _time(node, BOOTED) or created
    running = now >= booted
    state = InstanceState.RUNNING if running else InstanceState.CREATING
    if dig_str(node, "metadata", "deletionTimestamp"):
        state = InstanceState.DELETING
    return Instance(
        id=name,
        name=name,
        owner=owner,
        instance_type=labels.get(INSTANCE_TYPE, ""),
        created_at=created,
        launched_at=booted if running else None,
        state=state,
        detail="" if running else "is booting",
        node_name=name if running else None,
    )


def is_machine(node: JsonObject) -> bool:
    """Whether a Node is one of the fake machines, and somebody's."""
    labels = dig_dict(node, "metadata", "labels")
    return bool(dig_str(node, "metadata", "annotations", CREATED)) and all(labels.get(key) for key in _OWNER)


def _capacity(sku: Sku | None) -> JsonObject:
    """Where the table does not know the host's figures, ones that are large enough for any pod of ours."""
    found: JsonObject = {
        "cpu": str(sku.vcpus if sku and sku.vcpus else 16),
        "memory": f"{sku.memory_gib if sku and sku.memory_gib else 128:.0f}Gi",
        "ephemeral-storage": "2Ti",
        "pods": "110",
    }
    return found | ({GPU_RESOURCES[sku.vendor]: str(sku.gpus)} if sku and sku.gpus else {})


def _node_info(name: str) -> JsonObject:
    return {
        "machineID": name,
        "systemUUID": name,
        "bootID": name,
        "kernelVersion": "none",
        "osImage": "simulated",
        "containerRuntimeVersion": "simulated://1",
        "kubeletVersion": "simulated",
        "kubeProxyVersion": "simulated",
        "operatingSystem": "linux",
        "architecture": "amd64",
    }


def _condition(kind: str, status: str, reason: str, message: str, now: datetime) -> JsonObject:
    at = f"{now:%Y-%m-%dT%H:%M:%SZ}"
    return {
        "type": kind,
        "status": status,
        "reason": reason,
        "message": message,
        "lastHeartbeatTime": at,
        "lastTransitionTime": at,
    }


def _time(node: JsonObject, annotation: str) -> datetime | None:
    return moment(dig_str(node, "metadata", "annotations", annotation))

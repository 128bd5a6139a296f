"""Names of Kubernetes: what can be one, what can be the key of a label, and which keys tell what a node is. Pure."""

from __future__ import annotations

import re
from typing import Final

_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_NAME = re.compile(r"(?=.{1,63}$)[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?")
LONGEST_SUBDOMAIN: Final = 253
_OF_KUBERNETES: Final = ("kubernetes.io", "k8s.io")


def is_subdomain(name: str) -> bool:
    """Whether it is a DNS-1123 subdomain: what most objects may be called, and what stands before the "/" of a key."""
    return len(name) <= LONGEST_SUBDOMAIN and _SUBDOMAIN.fullmatch(name) is not None


def is_label_key(key: str) -> bool:
    """Whether it is a qualified name of Kubernetes: a name of at most 63 characters, perhaps after a domain and "/"."""
    domain, slash, name = key.rpartition("/")
    if slash and not is_subdomain(domain):
        return False
    return _NAME.fullmatch(name) is not None


def tells_of_node(key: str) -> bool:
    """Whether Kubernetes keeps the key to itself, for what a node is: its name, its zone, its kind of machine."""
    domain, _, _ = key.rpartition("/")
    return domain.endswith(tuple(f".{own}" for own in _OF_KUBERNETES)) or domain in _OF_KUBERNETES

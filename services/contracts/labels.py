"""What can be the key of a label, and which keys tell what a node is. Pure."""

from __future__ import annotations

import re
from typing import Final

_DOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
"""A DNS-1123 subdomain."""
_NAME = re.compile(r"(?=.{1,63}$)[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?")
_LONGEST_DOMAIN: Final = 253
_OF_KUBERNETES: Final = ("kubernetes.io", "k8s.io")


def is_label_key(key: str) -> bool:
    """Whether it is a qualified name of Kubernetes: a name of at most 63 characters, perhaps after a domain and "/"."""
    domain, slash, name = key.rpartition("/")
    if slash and (len(domain) > _LONGEST_DOMAIN or not _DOMAIN.fullmatch(domain)):
        return False
    return _NAME.fullmatch(name) is not None


def tells_of_node(key: str) -> bool:
    """Whether Kubernetes keeps the key to itself, for what a node is: its name, its zone, its kind of machine."""
    domain, _, _ = key.rpartition("/")
    return domain.endswith(tuple(f".{own}" for own in _OF_KUBERNETES)) or domain in _OF_KUBERNETES

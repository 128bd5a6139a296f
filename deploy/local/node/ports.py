"""Ports of containers that share the machine's network: each one gets a free port of 127.0.0.1.

A container learns its port from $KAITOBUS_PORT_<containerPort>, and from `--port`, which is rewritten.
"""

from __future__ import annotations

import random
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from deploy.local.node.pod import Pod
from deploy.local.node.pod_container import Container
from deploy.local.ports import is_free
from deploy.local.state import write_private

ANNOTATION = "local.kaito.sh/ports"
RANGE = range(15000, 20000)
"""Below the ports of the control plane (20000 and up) and of outgoing connections (32768 and up)."""
_ANY_ADDRESS = ("0.0.0.0", "::", "[::]", "*")  # noqa: S104 - these are looked for and replaced, not bound
_PORT = re.compile(r"(--port[=\s]+)(\d+)\b")
_HOST = re.compile(r"(--host[=\s]+)(0\.0\.0\.0|::|\[::\]|\*)(?=\s|$)")
_Book = TypeAdapter(dict[str, int])


class NoFreePort(Exception):
    """Every port of the range is taken."""


class PortBook:
    """Which ports are given away, and to whom; kept in a file, so that they stay the same over restarts."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._ports = _Book.validate_json(path.read_bytes())
        except (FileNotFoundError, ValidationError):
            self._ports = {}

    def port(self, owner: str) -> int:
        """The port of `owner`, chosen now if it has none. Raises NoFreePort."""
        if owner not in self._ports:
            self.renew(owner)
        return self._ports[owner]

    def renew(self, owner: str) -> int:
        """Give `owner` another port: somebody else has taken the one it had. Raises NoFreePort."""
        self._ports[owner] = _free_port(self._ports.values())
        self._write()
        return self._ports[owner]

    def release(self, owners: Collection[str]) -> None:
        """Take ports back."""
        if any(self._ports.pop(owner, None) for owner in owners):
            self._write()

    def owners(self, prefix: str) -> list[str]:
        """Who has a port, by the beginning of the name."""
        return [owner for owner in self._ports if owner.startswith(prefix)]

    def _write(self) -> None:
        write_private(self._path, _Book.dump_json(self._ports, indent=2))


def _free_port(taken: Collection[int]) -> int:
    for port in random.sample(RANGE, len(RANGE)):
        if port not in taken and is_free(port):
            return port
    raise NoFreePort(f"no free port between {RANGE.start} and {RANGE.stop - 1} on this machine")


def declared_ports(containers: Iterable[Container]) -> list[int]:
    """The TCP ports that containers declare, each once."""
    ports = [port for container in containers for port in container.ports]
    return sorted({port.container_port for port in ports if port.protocol == "TCP"})


def container_port(container: Container, port: int | str) -> int | None:
    """The number of a port that may be given by name; None when the container has no such name."""
    if isinstance(port, int):
        return port
    named = (one.container_port for one in container.ports if one.name == port)
    return next(named, int(port) if port.isdigit() else None)


def pod_target_port(pod: Pod, port: int | str) -> int | None:
    """As `container_port`, among all containers of the pod."""
    found = (container_port(container, port) for container in pod.spec.containers)
    return next((number for number in found if number is not None), None)


def port_env(ports: Mapping[int, int]) -> dict[str, str]:
    """Environment variables that tell a container its ports."""
    return {f"KAITOBUS_PORT_{declared}": str(real) for declared, real in ports.items()}


def rewrite_ports(argv: Sequence[str], ports: Mapping[int, int]) -> list[str]:
    """`argv` with `--port` of a declared port set to the real one, and `--host` of all addresses to 127.0.0.1."""
    return [
        _rewrite_value(previous, argument, ports) for previous, argument in zip(["", *argv[:-1]], argv, strict=False)
    ]


def _rewrite_value(previous: str, argument: str, ports: Mapping[int, int]) -> str:
    if previous == "--port" and argument.isdigit():
        return str(ports.get(int(argument), argument))
    if previous == "--host" and argument in _ANY_ADDRESS:
        return "127.0.0.1"
    argument = _PORT.sub(lambda found: f"{found[1]}{ports.get(int(found[2]), found[2])}", argument)
    return _HOST.sub(r"\g<1>127.0.0.1", argument)

"""Ports on 127.0.0.1 that stay the same over restarts."""

import random
import socket
from collections.abc import Collection
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

# Below the kernel's range for outgoing connections (32768 and up by default), one of which could otherwise
# take the port while its owner restarts, and below Kubernetes' node ports (30000 and up).
RANGE = range(20000, 30000)
_Ports = TypeAdapter(dict[str, int])


def assign_ports(path: Path, names: Collection[str], running: Collection[str] = ()) -> dict[str, int]:
    """Return a port for each of `names`, the one remembered in `path` where it is still free.

    The port of a process in `running` is kept though it is taken: it is that process that has taken it.
    """
    remembered = _read(path)
    ports = {name: port for name, port in remembered.items() if name in running or is_free(port)}
    for name in names:
        ports.setdefault(name, free_port(ports.values()))
    if ports != remembered:
        _write(path, ports)
    return {name: ports[name] for name in names}


def is_free(port: int) -> bool:
    """Tell whether a server could listen on `port` of 127.0.0.1 now."""
    with socket.socket() as probe:
        # As servers do: a port whose last connections have only just closed is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def free_port(taken: Collection[int] = ()) -> int:
    """Return a port of the range that nobody listens on now, and none of `taken`."""
    shuffled = random.sample(RANGE, len(RANGE))
    return next(port for port in shuffled if port not in taken and is_free(port))


def _read(path: Path) -> dict[str, int]:
    try:
        return _Ports.validate_json(path.read_bytes())
    except (FileNotFoundError, ValidationError):
        return {}


def _write(path: Path, ports: dict[str, int]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.draft")
    draft.write_bytes(_Ports.dump_json(ports, indent=2))
    draft.rename(path)

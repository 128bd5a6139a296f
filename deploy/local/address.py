"""The address of this machine, as it stands in Kubernetes objects."""

import socket

_DOCUMENTATION = "192.0.2.1"
"""From RFC 5737's range for documentation: never routed, and accepted in Endpoints unlike 127.0.0.1."""


def own_address() -> str:
    """Return the IPv4 address that this machine uses towards others, or one that nobody has without a network.

    Nothing is sent: connecting a UDP socket only asks the kernel for a route.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((_DOCUMENTATION, 9))
        except OSError:
            return _DOCUMENTATION
        address = str(probe.getsockname()[0])
    return _DOCUMENTATION if address.startswith("127.") else address

"""Reads the answers of a server that may send too much, too little, or nothing more."""

from __future__ import annotations

from typing import Final

import requests
import urllib3.exceptions

from services.inference.oci.errors import Hostile, Passing

BROKEN: Final = (requests.RequestException, urllib3.exceptions.HTTPError, OSError)
"""What is raised where a connection cannot be made, breaks, or stays silent."""


def read_bounded(response: requests.Response, most: int, where: str) -> bytes:
    """The body of an answer. Raises Hostile if it has more than `most` bytes, Passing if it breaks off."""
    body = bytearray()
    try:
        for chunk in response.iter_content(2**16):
            body += chunk
            if len(body) > most:
                raise Hostile(f"{where}: the registry sends more than {most} bytes where a short answer belongs.")
    except BROKEN as error:
        raise Passing(f"{where}: the answer broke off: {words(error)}.") from error
    return bytes(body)


def finish(response: requests.Response) -> None:
    """Be done with an answer that nobody reads. One without a body leaves its connection to the next request; to wait
    for a body would leave it to the server how long that takes.
    """
    with response:
        if response.request.method == "HEAD" or response.headers.get("Content-Length") == "0":
            response.content  # noqa: B018 - empty: taken, and with that the connection is free


def words(error: BaseException) -> str:
    """What an error of the network says, on one line."""
    while isinstance(error, requests.RequestException) and error.args and isinstance(error.args[0], Exception):
        error = error.args[0]
    inner = getattr(error, "reason", None)
    text = str(inner if isinstance(inner, Exception) else error)
    return " ".join(text.rpartition("object at ")[2].partition(">: ")[2].split() or text.split())[:200]

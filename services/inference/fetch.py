"""`kaitobus-fetch`: brings a model's files to where the server reads them. The init container of a pod runs it.

From a registry they are pulled and checked; a folder that is here already is looked at. What went wrong is the last
thing that it says, and its message to Kubernetes.
"""

from __future__ import annotations

import argparse
import errno
import logging
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from services.inference.logs import configure_logs
from services.inference.oci.client import Registry
from services.inference.oci.credentials import find_credentials, read_configs
from services.inference.oci.errors import OciError
from services.inference.oci.names import Kind
from services.inference.oci.pull import Limits, Progress, Pulled, pull
from services.inference.oci.reference import Reference, parse_reference
from services.inference.oci.store import Store, gib
from services.inference.oci.view import view

TERMINATION_LOG: Final = Path("/dev/termination-log")
"""Where Kubernetes reads a container's last message."""
TOLD_EVERY_S: Final = 10.0


def main() -> int:
    """Fetch, and return the exit code: 0 if the files are there, 1 if not, 2 for a wrong command line."""
    signal.signal(signal.SIGTERM, lambda *_: os._exit(128 + signal.SIGTERM))  # process 1 has no default
    log = configure_logs(os.environ.get("TRACEPARENT"))
    try:
        fetch(_parse(sys.argv[1:]), log)
    except OciError as error:
        return _failed(str(error), log)
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        return _failed("The disk is full." if full else f"The files cannot be written: {error}.", log)
    return 0


def fetch(options: argparse.Namespace, log: logging.Logger) -> None:
    """Do what the options say. Raises OciError, OSError."""
    kind, into = Kind(options.kind), Path(options.into)
    if options.folder:
        root = view(Path(options.folder), kind, into)
        log.info("the %s is in %s", kind, root)
        return
    reference = parse_reference(options.image)
    record, wanted = into.with_name(f"{into.name}.pulled"), f"{kind} {reference}"
    if into.exists() and record.is_file() and record.read_text() == wanted:
        log.info("%s was pulled before by this pod", reference)  # so it starts again without the registry
        return
    log.info("pulling %s", reference)
    began = time.monotonic()
    _tell(reference, _pull(options, reference, kind, into, log), time.monotonic() - began, log)
    record.write_text(wanted)


def _pull(options: argparse.Namespace, reference: Reference, kind: Kind, into: Path, log: logging.Logger) -> Pulled:
    credentials = find_credentials(read_configs(Path(path) for path in options.pull_secret), reference)
    limits = Limits(bytes=int(options.max_gib * 2**30), at_once=options.at_once)
    ca = Path(options.ca) if options.ca else None
    store, progress = Store(Path(options.store)), telling(log, time.monotonic)
    with Registry(reference, credentials, plain_http=options.plain_http, ca=ca) as registry:
        return pull(registry, kind, into, store, limits=limits, progress=progress)


def _tell(reference: Reference, pulled: Pulled, seconds: float, log: logging.Logger) -> None:
    pinned, size, found = reference.at(pulled.digest), gib(pulled.bytes), gib(pulled.found)
    fields = {"bytes": pulled.bytes, "found": pulled.found, "seconds": round(seconds, 3)}
    text = "pulled %s: %s in %.1f s, of which %s were here"
    log.info(text, pinned, size, seconds, found, extra={"fields": fields})


def telling(log: logging.Logger, clock: Callable[[], float]) -> Progress:
    """Progress that writes a line every ten seconds."""
    began = told = clock()

    def progress(done: int, total: int) -> None:
        nonlocal told
        now = clock()
        if now - told < TOLD_EVERY_S:
            return
        told = now
        speed = done / (now - began)
        left = (total - done) / speed if speed > 0 else float("inf")
        log.info("pulled %s of %s at %s/s, %.0f s left", gib(done), gib(total), gib(int(speed)), left)

    return progress


def _parse(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="kaitobus-fetch", description=__doc__)
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--image", help="an image or artifact to pull")
    source.add_argument("--folder", help="a folder with the files")
    parser.add_argument("--into", required=True, help="where they are wanted: becomes a link to them")
    parser.add_argument("--kind", choices=[kind.value for kind in Kind], default=Kind.MODEL.value)
    parser.add_argument("--store", default="/workspace/weights", help="folder that keeps what was pulled")
    parser.add_argument("--pull-secret", action="append", default=[], help="file or folder with credentials")
    parser.add_argument("--max-gib", type=float, default=2048.0, help="GiB that may be pulled")
    parser.add_argument("--at-once", type=int, default=4, help="layers that are pulled side by side")
    parser.add_argument("--plain-http", action="store_true", help="speak HTTP to the registry")
    parser.add_argument("--ca", help="file of the authorities that sign the registry's certificate")
    return parser.parse_args(argv)


def _failed(reason: str, log: logging.Logger) -> int:
    log.error("%s", reason)
    if TERMINATION_LOG.is_file():
        TERMINATION_LOG.write_text(reason[:4096])
    return 1


if __name__ == "__main__":
    sys.exit(main())

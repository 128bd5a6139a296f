"""Brings the data of a run into a folder: from addresses, from a registry, or from a volume that is mounted."""

from __future__ import annotations

import argparse
import ipaddress
import os
from collections.abc import Callable
from pathlib import Path

from services.inference.adapters.fetch import NETWORKS_ENV, PLAIN_HTTP_ENV
from services.inference.oci.client import Registry
from services.inference.oci.credentials import find_credentials, read_configs
from services.inference.oci.errors import OciError, Passing
from services.inference.oci.names import Kind
from services.inference.oci.pull import Limits, pull
from services.inference.oci.reference import parse_reference
from services.inference.oci.store import Store
from services.inference.tuning.failure import TuningError
from services.inference.url_rules import UrlError, UrlRules
from services.inference.urls import download_urls
from services.tuning.exit_codes import ExitCode

Told = Callable[[int, int | None], None]


def bring_data(options: argparse.Namespace, folder: Path, told: Told) -> Path:
    """The folder with the data. Raises TuningError, OSError. What an earlier run brought is not brought again."""
    if options.data_folder:
        found = Path(options.data_folder)
        if not found.is_dir():
            raise TuningError("The volume with the data has no such folder.")
        return found
    if options.data_image:
        return _pulled(options, folder, told)
    folder.mkdir(parents=True, exist_ok=True)
    try:
        download_urls(options.data_url, folder, rules_of(options), progress=told)
    except UrlError as error:
        raise TuningError(str(error), ExitCode.PASSES if error.passes else ExitCode.BAD_INPUT) from error
    return folder


def rules_of(options: argparse.Namespace) -> UrlRules:
    """What addresses may be asked for, as the operator says it in the environment."""
    named = os.environ.get(NETWORKS_ENV, "")
    try:
        networks = tuple(ipaddress.ip_network(text.strip()) for text in named.split(",") if text.strip())
    except ValueError as error:
        raise TuningError(f"{NETWORKS_ENV} cannot be read: {error}.") from None
    plain = os.environ.get(PLAIN_HTTP_ENV, "").lower() == "true"
    return UrlRules(bytes=int(options.max_data_gib * 2**30), plain_http=plain, networks=networks)


def _pulled(options: argparse.Namespace, folder: Path, told: Told) -> Path:
    try:
        reference = parse_reference(options.data_image)
        credentials = find_credentials(read_configs(Path(path) for path in options.pull_secret), reference)
        ca = Path(options.ca) if options.ca else None
        limits = Limits(bytes=int(options.max_data_gib * 2**30))
        store = Store(folder.with_name("store"))
        with Registry(reference, credentials, plain_http=options.plain_http, ca=ca) as registry:
            pull(registry, Kind.DATA, folder, store, limits=limits, progress=told)
    except OciError as error:
        raise TuningError(str(error), ExitCode.PASSES if isinstance(error, Passing) else ExitCode.BAD_INPUT) from error
    return folder.resolve()

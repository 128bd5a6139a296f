"""Asks a process over HTTP whether it serves, and says what is missing in its own words."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence

from deploy.local.logs import log_tail
from deploy.local.process import ProcessSpec

_ASK_SECONDS = 5.0
_PAUSE = 0.1


class NotAnswering(Exception):
    """A process was not ready in time; the message says what it lacks and shows the end of its log."""


def wait_for_all(specs: Sequence[ProcessSpec], limit: float, ready: Callable[[str], None]) -> None:
    """Wait until every process answers its probe; tells `ready` each name when it does.

    Raises NotAnswering when `limit` seconds have passed.
    """
    deadline = time.monotonic() + limit
    left = list(specs)
    while left:
        problems = {spec.name: problem(spec) for spec in left}
        for name, text in problems.items():
            if text is None:
                ready(name)
        left = [spec for spec in left if problems[spec.name] is not None]
        if left and time.monotonic() > deadline:
            raise NotAnswering(_complaint(left, problems, limit))
        time.sleep(_PAUSE if left else 0)


def problem(spec: ProcessSpec) -> str | None:
    """What keeps a process from serving, in its own words where it answers; None where all is well."""
    if spec.ready is None:
        return None
    # No proxy of the environment: the process is on this machine.
    tls = urllib.request.HTTPSHandler(context=spec.ready.tls())
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), tls)
    try:
        with opener.open(spec.ready.url, timeout=_ASK_SECONDS):
            return None
    except urllib.error.HTTPError as error:
        return _problems(error.read())
    except OSError:
        return "it does not answer"


def _problems(body: bytes) -> str:
    """The sentences in the answer of /readyz: `{"ready": false, "problems": {check: sentence}}`."""
    try:
        found: object = json.loads(body)
    except ValueError:
        return body[:200].decode(errors="replace")
    problems = found.get("problems") if isinstance(found, dict) else None
    return "; ".join(f"{k}: {v}" for k, v in problems.items()) if isinstance(problems, dict) else str(found)[:200]


def _complaint(left: Sequence[ProcessSpec], problems: Mapping[str, str | None], limit: float) -> str:
    """What each lacks; the log of the first alone, since the others often wait for it."""
    lines = [f"{spec.name} was not ready after {limit:.0f} s: {problems[spec.name]}." for spec in left]
    lines += [f"The log of {spec.name}: {spec.log_path}" for spec in left[1:]]
    return "\n".join([*lines, f"{left[0].name}: {log_tail(left[0].log_path)}"])

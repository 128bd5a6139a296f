"""The end of a crashed container's log."""

from __future__ import annotations

import logging
from typing import Final

from services.chassis.kube import KubeClient, KubeError
from services.deployer.redact import redact

log = logging.getLogger(__name__)

LOG_LINES: Final = 8


async def last_words(kube: KubeClient, namespace: str, pod: str) -> str:
    """The last lines that a crashed container logged; nothing where they cannot be had."""
    for previous in (True, False):
        try:
            text = await kube.logs(namespace, pod, tail_lines=LOG_LINES, previous=previous)
        except (KubeError, TimeoutError) as error:
            log.debug("no logs of %s: %s", pod, error)
        else:
            if text.strip():
                return redact(text.strip())[-1500:]
    return ""

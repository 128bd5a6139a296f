"""When this process first saw a machine, or a node that is not ready, by its own clock."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from services.provisioner.provider import Key
from services.provisioner.view import Stamp, View

BELIEVED: Final = timedelta(seconds=60)
"""A stamp no further than this from when it was first seen is believed: two processes then say the same."""


class FirstSeen:
    """Keeps deadlines out of the hands of clocks that are wrong, be it the cloud's or the cluster's.

    Kept in memory. A process that starts anew gives what it finds under way its full time once more, rather than
    taking down a machine for what a clock says that may be wrong.
    """

    def __init__(self) -> None:
        self._seen: dict[Key, dict[Stamp, datetime]] = {}

    def note(self, view: View, now: datetime) -> dict[Stamp, datetime]:
        """Take note of what is seen; returns those that were stamped with a time that cannot be right."""
        before = self._seen.pop(view.demand.key, {})
        stamps: list[Stamp] = [(i.name, i.created_at) for i in view.instances]
        stamps += [(node.name, node.not_ready_since) for node in view.nodes if node.not_ready_since]
        seen = {stamp: before.get(stamp, now) for stamp in stamps}
        if seen:
            self._seen[view.demand.key] = seen
        return {stamp: first for stamp, first in seen.items() if abs(first - stamp[1]) > BELIEVED}

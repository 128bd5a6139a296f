"""What is known of a container on this node, and when it may run again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from deploy.local.node.pod import Policy

BACKOFF_FIRST = timedelta(seconds=10)
BACKOFF_MOST = timedelta(minutes=5)
BACKOFF_FORGOTTEN = timedelta(minutes=10)
"""The kubelet's figures: 10 s, doubling to 5 min, from the start again after a run of 10 min."""

AT_ONCE = datetime.min.replace(tzinfo=UTC)


class Waiting(NamedTuple):
    """It does not run, and this is why. `retry_at`: when it is looked at again, if not at once."""

    reason: str = "ContainerCreating"
    message: str = ""
    retry_at: datetime | None = None


class Running(NamedTuple):
    """Its process runs."""

    started_at: datetime


class Terminated(NamedTuple):
    """Its process has ended."""

    exit_code: int
    reason: str
    finished_at: datetime
    started_at: datetime | None = None
    signal: int = 0
    message: str = ""
    container_id: str = ""


State = Waiting | Running | Terminated


class ContainerRecord(NamedTuple):
    """A container as of now. `crashes`: ends in a row, each soon after its start; they make the back-off."""

    name: str
    state: State = Waiting()
    last: Terminated | None = None
    restarts: int = 0
    crashes: int = 0
    started: bool = False
    ready: bool = False
    container_id: str = ""


def backoff(crashes: int) -> timedelta:
    """How long a container waits after so many ends in a row: not at all after the first, as with the kubelet."""
    if crashes <= 1:
        return timedelta(0)
    doublings = min(crashes - 2, 10)
    return min(BACKOFF_MOST, BACKOFF_FIRST * (1 << doublings))


def crashes_after(before: int, ended: Terminated) -> int:
    """Ends in a row, once this one is counted."""
    lasted = ended.finished_at - (ended.started_at or ended.finished_at)
    return 1 if lasted >= BACKOFF_FORGOTTEN else before + 1


def runs_again(ended: Terminated, policy: Policy, *, init: bool) -> bool:
    """Whether the restart policy wants the container to run again. An init container need not, once it is done."""
    if ended.exit_code == 0:
        return policy == "Always" and not init
    return policy != "Never"


def start_at(record: ContainerRecord, policy: Policy, *, init: bool) -> datetime | None:
    """When the container has to be started: a time, which may be past; None when it runs or stays ended."""
    match record.state:
        case Waiting(retry_at=retry_at):
            return retry_at or AT_ONCE
        case Running():
            return None
        case Terminated() as ended:
            if not runs_again(ended, policy, init=init):
                return None
            return ended.finished_at + backoff(record.crashes)

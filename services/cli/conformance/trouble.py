"""Scenarios in which the provider's cloud refuses, is late, or takes a machine away."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from services.cli.conformance.case import Case
from services.cli.conformance.checks import is_ready
from services.cli.conformance.outcome import Breach
from services.cli.conformance.rules import Rule
from services.cli.conformance.setting import Setting
from services.contracts.errors import FailureCode
from services.contracts.messages import Report


async def quota(case: Case, _: Setting) -> None:
    """The account's limit."""
    await _refused(case, FailureCode.QUOTA_EXCEEDED)


async def capacity(case: Case, _: Setting) -> None:
    """Sold out."""
    await _refused(case, FailureCode.INSUFFICIENT_CAPACITY)


async def unauthorized(case: Case, _: Setting) -> None:
    """Wrong credentials, or a permission that is missing."""
    await _refused(case, FailureCode.UNAUTHORIZED)


async def throttling(case: Case, _: Setting) -> None:
    """Too many requests, for a while: told, waited for, and then the node comes."""
    said = await _refused(case, FailureCode.THROTTLED)
    retry_at = said.failure.retry_at if said.failure else None
    if retry_at is None:
        raise Breach(Rule.RETRY_AFTER, "the failure does not say when it is tried again")
    await case.until_ready(1)
    if datetime.now(UTC) < retry_at - timedelta(seconds=1):
        raise Breach(Rule.RETRY_AFTER, f"the node was there before {retry_at:%H:%M:%S} UTC, when it was to be retried")


async def late(case: Case, _: Setting) -> None:
    """The cloud does not answer in time, and the machine comes nevertheless: one node, and none after letting go."""
    await case.begin_fault()
    await case.want(1)
    await case.until(Rule.DEADLINES, lambda r: r.failure and r.failure.code is FailureCode.TIMEOUT)
    await case.end_fault()
    await case.until(Rule.LATE, lambda r: is_ready(r, 1))


async def crash(case: Case, _: Setting) -> None:
    """The process ends between the cloud's answer and its report; whoever comes next has one node, not two."""
    await case.begin_fault()
    await case.want(1)
    await case.until(Rule.CRASH, lambda r: is_ready(r, 1))


async def vanish(case: Case, _: Setting) -> None:
    """A machine is taken away by its cloud: the report says so, and another one comes."""
    await case.want(1)
    await case.until_ready(1)
    await case.begin_fault()
    await case.until(Rule.REPLACED, lambda r: not is_ready(r, 1))
    await case.end_fault()
    await case.until(Rule.REPLACED, lambda r: is_ready(r, 1))


async def _refused(case: Case, code: FailureCode) -> Report:
    """A refusal is told with its code, and no node is said to be ready."""
    await case.begin_fault()
    await case.want(1)
    said = await case.until(Rule.FAILURE, lambda r: r.failure and r.failure.code is code)
    if is_ready(said, 1):
        raise Breach(Rule.CONDITIONS, f"{code} is reported, and so is a ready node")
    await case.end_fault()
    return said

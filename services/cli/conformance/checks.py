"""What must hold for every report, whatever is being played: pure checks, each of one sentence of the contract."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Final

from services.cli.conformance.heard import Heard
from services.cli.conformance.outcome import Breach
from services.cli.conformance.rules import Rule
from services.contracts.identity import trace_id
from services.contracts.messages import Demand, Report
from services.contracts.subjects import ServiceName

_REASON: Final = re.compile(r"[A-Za-z][A-Za-z0-9]*")
_TRACEPARENT: Final = re.compile(r"00-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}")
_CLOUD_EVENT: Final = {
    "ce-specversion": "1.0",
    "ce-type": "sh.kaito.Report.v1",
    "ce-datacontenttype": "application/json",
}

Check = Callable[[Report, Sequence[Demand]], None]
"""Raises `Breach`. The demands are all that were published under the report's name so far, oldest first."""


def check(heard: Heard, demands: Sequence[Demand], before: Sequence[Heard]) -> None:
    """Hold a report against all that is known. Raises `Breach` for the first sentence that it breaks."""
    report = heard.report
    if report is None:
        raise Breach(Rule.SCHEMA, f"the report is none: {heard.unreadable}")
    if report.subject != heard.subject:
        raise Breach(Rule.REPEAT, f"a report on {heard.subject} speaks of {report.subject}")
    for one in _CHECKS:
        one(report, demands)
    _headers(heard, report)
    if before:
        _against_the_last(report, before[-1])


def _repeats(report: Report, demands: Sequence[Demand]) -> None:
    asked = {(d.uid, d.generation, d.plan_revision, d.provider) for d in demands}
    said = (report.uid, report.generation, report.plan_revision, report.provider)
    if said not in asked or report.service is not ServiceName.PROVISIONER:
        text = f"{report.service} reports uid, generation, planRevision, provider {said}; demanded was {sorted(asked)}"
        raise Breach(Rule.REPEAT, text)


def _reasons(report: Report, _: Sequence[Demand]) -> None:
    for condition in report.conditions:
        if not _REASON.fullmatch(condition.reason):
            raise Breach(Rule.REASONS, f"{condition.type} has the reason {condition.reason!r}")


def _phases(report: Report, _: Sequence[Demand]) -> None:
    for phase in report.phases:
        if phase.finished_at and phase.finished_at < phase.started_at:
            raise Breach(Rule.PHASES, f"phase {phase.name!r} ends before it begins")


def _not_too_many(report: Report, demands: Sequence[Demand]) -> None:
    """Those that are being taken down may still be named, so what was ever demanded is the limit.

    That goes for those of an earlier workspace under the same name, too.
    """
    names = [node.name for node in report.nodes]
    limit = sum(max(d.nodes for d in demands if d.uid == uid) for uid in {d.uid for d in demands})
    if len(names) > limit or len(set(names)) < len(names):
        raise Breach(Rule.SAME_DEMAND, f"at most {limit} were demanded, and the report names {names}")


def _released(report: Report, demands: Sequence[Demand]) -> None:
    zero = any(d.nodes == 0 for d in demands if d.plan_revision == report.plan_revision and d.uid == report.uid)
    if report.released and (report.nodes or not zero):
        raise Breach(Rule.RELEASED, f"released, with {len(report.nodes)} nodes named, and a demand of 0: {zero}")
    if zero and report.conditions:
        raise Breach(Rule.NONE_OF_ZERO, f"the conditions are {[str(c.type) for c in report.conditions]}")


def _failure_has_words(report: Report, _: Sequence[Demand]) -> None:
    if report.failure and not report.failure.message.strip():
        raise Breach(Rule.FAILURE, f"{report.failure.code} comes without a word")


_CHECKS: Final[tuple[Check, ...]] = (_repeats, _reasons, _phases, _not_too_many, _released, _failure_has_words)


def _headers(heard: Heard, report: Report) -> None:
    """The id is a must; of the others only that they are right where they are sent."""
    if not heard.headers.get("Nats-Msg-Id"):
        raise Breach(Rule.MESSAGE_ID, "the report has no Nats-Msg-Id")
    for name, value in _CLOUD_EVENT.items():
        if (found := heard.headers.get(name, value)) != value:
            raise Breach(Rule.CLOUD_EVENTS, f"{name} is {found!r}, not {value!r}")
    carried = heard.headers.get("traceparent")
    match = _TRACEPARENT.fullmatch(carried) if carried else None
    wanted = f"{trace_id(report.uid, report.generation):032x}"
    if carried and (match is None or match[1] != wanted):
        raise Breach(Rule.TRACE, f"traceparent is {carried!r}; the trace of this generation is {wanted}")


def missing_headers(headers: Sequence[str]) -> list[str]:
    """Those of CloudEvents and of the trace that a report does not carry."""
    wanted = (*_CLOUD_EVENT, "ce-id", "ce-source", "ce-subject", "traceparent")
    return [name for name in wanted if name not in headers]


def _against_the_last(report: Report, last: Heard) -> None:
    if report == last.report:
        raise Breach(Rule.ONCE, f"the report of planRevision {report.plan_revision} came twice in a row")
    if last.report and last.report.uid == report.uid and _age(report) < _age(last.report):
        raise Breach(Rule.OLDER, f"planRevision {report.plan_revision} is reported after {last.report.plan_revision}")


def _age(report: Report) -> tuple[int, int]:
    return (report.generation, report.plan_revision)


def is_ready(report: Report, nodes: int) -> bool:
    """Whether so many nodes are there, and all that is said of them is good."""
    true = {c.type for c in report.conditions if c.is_true}
    all_true = {"NodeClaimReady", "NodesReady", "ResourceReady"} <= {str(t) for t in true}
    return all_true and len(report.nodes) == nodes and all(node.ready for node in report.nodes)

"""The waterfall is drawn from messages alone, and is right while steps go on, fail over, or are changed."""

from __future__ import annotations

from datetime import timedelta

import pytest

from services.cli.history import BusMessage, Life, lives, read_entries, subject_filters
from services.cli.view.waterfall import BLOCKS, bar, lines
from services.cli.waterfall import Span, spans
from services.contracts.conditions import ConditionType, false, true
from services.contracts.messages import Phase
from services.contracts.subjects import ServiceName
from tests.unit.cli_samples import T0, applied, at, demanded, history, planned, reported, stored

LIFE = Life("uid-1", 1)
NODES = true(ConditionType.NODES_READY, "NodesReady")
NO_NODES = false(ConditionType.NODES_READY, "NodeNotReady")
SERVES = true(ConditionType.INFERENCE_READY, "Ready")
LOADS = Phase(name="load the weights", started_at=at(5), finished_at=at(30))

WHOLE_WAY = (
    (0.2, applied()),
    (0.3, planned()),
    (0.3, demanded()),
    (1.0, reported(ServiceName.PROVISIONER, NO_NODES, provider="local")),
    (4.0, reported(ServiceName.PROVISIONER, NODES, provider="local")),
    (40.0, reported(ServiceName.DEPLOYER, SERVES, phases=(LOADS,))),
    (50.0, reported(ServiceName.DEPLOYER, SERVES, phases=(LOADS,))),
)


def named(found: list[Span], service: str, depth: int = 1) -> Span:
    return next(span for span in found if span.service == service and span.depth == depth)


def test_the_whole_way_from_the_apply_to_the_answer() -> None:
    found = spans(history(*WHOLE_WAY), LIFE)

    assert [(s.depth, s.service) for s in found] == [
        (0, "workspace"), (1, "watcher"), (1, "scheduler"), (1, "provisioner"), (1, "deployer"), (2, "deployer"),
    ]  # fmt: skip
    assert (found[0].start, found[0].end) == (T0, at(40))
    assert named(found, "watcher").end == at(0.2)
    assert named(found, "scheduler").end == at(0.3)
    assert named(found, "provisioner").end == at(4)
    assert named(found, "deployer").end == at(40)
    assert named(found, "deployer", depth=2).end == at(30)


def test_a_step_that_goes_on_has_no_end_and_neither_has_the_whole() -> None:
    found = spans(history(*WHOLE_WAY[:4]), LIFE)

    assert named(found, "provisioner").end is None
    assert found[0].end is None


def test_a_phase_is_told_as_it_was_reported_last() -> None:
    begun = LOADS.model_copy(update={"finished_at": None})
    found = spans(
        history(
            *WHOLE_WAY[:3],
            (6, reported(ServiceName.DEPLOYER, phases=(begun,))),
            (31, reported(ServiceName.DEPLOYER, phases=(LOADS,))),
        ),
        LIFE,
    )

    assert [span.end for span in found if span.depth == 2] == [at(30)]


def test_a_phase_whose_time_is_cut_to_the_second_does_not_begin_before_its_service_was_asked() -> None:
    early = Phase(name="waits", started_at=T0, finished_at=T0)

    found = spans(history(*WHOLE_WAY[:3], (1, reported(ServiceName.DEPLOYER, phases=(early,)))), LIFE)

    assert [(span.start, span.end) for span in found if span.depth == 2] == [(at(0.3), at(0.3))]


def test_where_the_beginning_of_the_history_is_lost_the_reports_own_times_are_drawn() -> None:
    node = Phase(name="node registered", started_at=at(1), finished_at=at(3))
    late = (
        (500, applied()),
        (501, planned()),
        (501, demanded()),
        (502, reported(ServiceName.PROVISIONER, NODES, phases=(node,), provider="local")),
        (502, reported(ServiceName.DEPLOYER, SERVES, phases=(LOADS,))),
    )

    found = spans(history(*late), LIFE)

    assert [(s.service, s.start, s.end) for s in found if s.depth < 2] == [
        ("workspace", at(1), at(30)),
        ("provisioner", at(1), at(3)),
        ("deployer", at(5), at(30)),
    ]


def test_a_provider_that_was_told_to_let_go_ends_there_and_the_next_one_begins() -> None:
    found = spans(
        history(
            (0.1, applied()),
            (0.2, demanded(provider="azure")),
            (9, demanded(nodes=0, provider="azure")),
            (9, demanded(provider="local")),
            (12, reported(ServiceName.PROVISIONER, NODES, provider="local")),
        ),
        LIFE,
    )

    assert [(s.detail, s.start, s.end) for s in found if s.service == "provisioner"] == [
        ("azure", at(0.2), at(9)),
        ("local", at(9), at(12)),
    ]


def test_a_later_generation_begins_with_its_first_message_not_with_the_creation() -> None:
    entries = history((0.1, applied()), (0.2, planned()), (100, applied(generation=2)), (101, planned(generation=2)))

    found = spans(entries, Life("uid-1", 2))

    assert (found[0].start, named(found, "scheduler").end) == (at(100), at(101))


def test_a_workspace_that_took_the_name_of_another_comes_last() -> None:
    entries = history((0, applied("old", 3)), (10, applied("new", 1)), (11, planned("new", 2)), (12, applied("old", 4)))

    assert lives(entries) == [Life("old", 3), Life("old", 4), Life("new", 1), Life("new", 2)]


def test_of_an_unknown_generation_there_is_nothing_to_draw() -> None:
    assert spans(history(*WHOLE_WAY), Life("uid-1", 9)) == []
    assert lines([], 80, T0) == []


def test_messages_are_read_in_the_order_of_the_stream_and_what_cannot_be_read_is_left_out() -> None:
    broken = BusMessage(sequence=2, subject=planned().subject, time=T0, body=b"{}")
    foreign = BusMessage(sequence=4, subject="kaito.news.default.phi", time=T0, body=b"{}")

    found = read_entries([stored(3, 2, planned()), broken, stored(1, 1, applied()), foreign])

    assert [entry.message for entry in found] == [applied(), planned()]


def test_the_filters_take_every_subject_of_the_workspace_and_no_other() -> None:
    assert subject_filters("default", "phi") == [
        "kaito.workspace.default.phi",
        "kaito.plan.default.phi",
        "kaito.demand.*.default.phi",
        "kaito.report.*.default.phi",
    ]


@pytest.mark.parametrize(
    ("start", "end", "drawn"),
    [
        (0, 10, "██████████"),
        (0, 5, "█████     "),
        (5, 10, "     █████"),
        (2, 2.5, "  ▌       "),
        (2.5, 4, "  ▐█      "),
        (5, 5, "     ▏    "),
        (10, 10, "         ▏"),
    ],
)
def test_bars_share_one_time_axis_and_are_never_empty(start: float, end: float, drawn: str) -> None:
    span = Span(name="s", service="x", start=at(start), end=at(end), depth=1)

    assert bar(span, T0, 10.0, 10, at(10)) == drawn


@pytest.mark.parametrize("width", [60, 80, 120, 200])
def test_every_line_fits_the_terminal(width: int) -> None:
    drawn = lines(spans(history(*WHOLE_WAY), LIFE), width, at(60))

    assert all(len(f"{line.label}  {line.bar}  {line.figures}") <= width for line in drawn)
    assert len({len(line.label) for line in drawn}) == 1


def test_what_goes_on_is_drawn_up_to_now_and_marked() -> None:
    drawn = lines(spans(history(*WHOLE_WAY[:4]), LIFE), 100, T0 + timedelta(seconds=20))

    root = drawn[0]
    assert root.figures.endswith("…")
    assert set(root.bar) == {BLOCKS[-1]}

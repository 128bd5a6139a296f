"""`kaitobus get` shows what kubectl shows, and what is wrong."""

from __future__ import annotations

import pytest

from services.cli.rows import NONE, headers, row, tuning
from services.cli.view.text import age, columns, seconds
from services.cli.workspaces import WorkspaceView, read_workspace
from services.contracts.conditions import ConditionType, Reason
from services.contracts.tuning import TuningProgress
from tests.unit.cli_samples import T0, at, condition, plan, view

READY = view(
    condition(ConditionType.RESOURCE_READY, True, Reason.RESOURCE_READY),
    condition(ConditionType.INFERENCE_READY, True, Reason.INFERENCE_READY),
    condition(ConditionType.WORKSPACE_READY, True, Reason.WORKSPACE_SUCCEEDED),
    state="Ready",
    instance="this-machine",
    endpoint="http://phi.default",
    worker_nodes=("node-1",),
    plan=plan(cost_per_hour=1.5),
)


def cells(workspace: WorkspaceView, *, wide: bool = False) -> dict[str, str]:
    found = row(workspace, at(65), wide=wide, namespaces=True)
    return dict(zip(headers(wide=wide, namespaces=True), found, strict=True))


def test_a_ready_workspace() -> None:
    assert cells(READY) == {
        "NAMESPACE": "default",
        "NAME": "phi",
        "INSTANCE": "this-machine",
        "RESOURCEREADY": "True",
        "INFERENCEREADY": "True",
        "WORKSPACEREADY": "True",
        "STATE": "Ready",
        "AGE": "65s",
        "ENDPOINT": "http://phi.default",
        "MESSAGE": "",
    }


def test_wide_adds_nodes_and_cost() -> None:
    found = cells(READY, wide=True)

    assert (found["NODES"], found["COST/H"], found["JOBSTARTED"]) == ("node-1", "1.50", "<none>")


def test_the_first_failing_step_is_told_in_one_line() -> None:
    failing = condition(ConditionType.PLAN_READY, False, Reason.UNKNOWN_PRESET, "There is no\nmodel phi-9.")

    assert cells(view(failing))["MESSAGE"] == "UnknownPreset: There is no model phi-9."


def test_a_simulated_workspace_is_marked() -> None:
    assert cells(view(state="Ready", simulated=True))["STATE"] == "Ready (simulated)"
    assert cells(view(state="Simulated", simulated=True))["STATE"] == "Simulated"


def test_a_status_of_old_kaito_is_read_as_far_as_it_is_known() -> None:
    metadata = {
        "name": "phi",
        "namespace": "default",
        "uid": "u",
        "generation": 1,
        "creationTimestamp": "2026-01-01T12:00:00Z",
    }
    old = {"type": "MachineReady", "status": "True", "reason": "x", "lastTransitionTime": "2026-01-01T12:00:00Z"}
    known = {**old, "type": "ResourceReady"}

    found = read_workspace({"metadata": metadata, "status": {"conditions": [old, known], "state": "Strange"}})

    assert [c.type for c in found.status.conditions] == [ConditionType.RESOURCE_READY]
    assert found.created_at == T0


@pytest.mark.parametrize(
    ("passed", "text"),
    [
        (0, "0s"), (119, "119s"), (120, "2m"), (192, "3m12s"), (840, "14m"), (3 * 3600, "3h"),
        (7 * 3600 + 300, "7h5m"), (30 * 3600, "30h"), (76 * 3600, "3d4h"), (12 * 86400, "12d"), (-5, "0s"),
    ],
)  # fmt: skip
def test_ages_are_written_as_kubectl_writes_them(passed: float, text: str) -> None:
    assert age(T0, at(passed)) == text


@pytest.mark.parametrize(("duration", "text"), [(0.004, "4 ms"), (0.35, "0.35 s"), (12.84, "12.8 s"), (185, "3m05s")])
def test_durations_have_the_digits_that_matter(duration: float, text: str) -> None:
    assert seconds(duration) == text


def test_columns_are_aligned_without_blanks_at_the_end() -> None:
    assert columns(["A", "LONG"], [["xyz", "1"], ["x", ""]]) == ["A     LONG", "xyz   1", "x"]


def test_how_far_tuning_is_fits_a_cell() -> None:
    assert tuning(None) == NONE
    assert tuning(TuningProgress(phase="fetching the data")) == "fetching the data"
    assert tuning(TuningProgress(step=5, steps=10, loss=0.51234, seconds_left=30)) == "5/10, loss 0.512, 30 s left"

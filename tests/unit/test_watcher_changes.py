"""What of a Workspace must not change once it is planned."""

from __future__ import annotations

import pytest

from services.contracts.conditions import Reason
from services.contracts.status import WorkspaceStatus
from services.watcher.validate import find_problem
from services.watcher.workspace import Workspace
from tests.unit.samples import OWN, RESOURCE, TUNING, plan, workspace


class TestWhatMustNotChange:
    """Compared with the plan in the status. Before there is a plan all may change."""

    PLANNED = WorkspaceStatus(plan=plan())

    def test_nothing_changed(self) -> None:
        assert find_problem(workspace(status=self.PLANNED)) is None

    def test_what_is_not_fixed_may_change(self) -> None:
        changed = {**RESOURCE, "count": 3}
        assert find_problem(workspace(resource=changed, status=self.PLANNED)) is None

    def test_before_there_is_a_plan_all_may_change(self) -> None:
        assert find_problem(workspace(resource={**RESOURCE, "instanceType": "other"})) is None

    def test_letters_of_the_preset_in_another_case_are_no_change(self) -> None:
        found = workspace(inference={"preset": {"name": "Phi-4-Mini-Instruct"}}, status=self.PLANNED)
        assert find_problem(found) is None

    @pytest.mark.parametrize(
        ("found", "words"),
        [
            (workspace(resource={**RESOURCE, "instanceType": "Standard_X"}, status=PLANNED), "resource.instanceType"),
            (workspace(resource={"labelSelector": RESOURCE["labelSelector"]}, status=PLANNED), "now it is not set"),
            (
                workspace(resource={**RESOURCE, "labelSelector": {"matchLabels": {"apps": "x"}}}, status=PLANNED),
                "resource.labelSelector cannot be changed",
            ),
            (workspace(inference={"preset": {"name": "falcon-7b"}}, status=PLANNED), "the preset's name"),
            (workspace(inference=OWN, status=PLANNED), "the preset's name cannot be changed"),
            (workspace(tuning=TUNING, status=PLANNED), "the kind of workload (inference, template or tuning)"),
        ],
        ids=["instance type", "no instance type", "labels", "preset", "template", "tuning"],
    )
    def test_a_change_names_the_field_and_the_two_values(self, found: Workspace, words: str) -> None:
        problem = find_problem(found)
        assert problem is not None
        assert problem.reason is Reason.IMMUTABLE_FIELD_CHANGED
        assert words in problem.message
        assert "delete the Workspace and create it anew" in problem.message

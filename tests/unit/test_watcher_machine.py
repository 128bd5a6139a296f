"""A machine size is called by a name without blanks."""

from __future__ import annotations

import pytest

from services.contracts.conditions import Reason
from services.watcher.validate import find_problem
from tests.unit.samples import RESOURCE, workspace


@pytest.mark.parametrize("name", ["", " ", "A10 ", " A10", "A 10", "A10\n"])
def test_an_instance_type_of_blanks_is_told_with_quotes_around_it(name: str) -> None:
    problem = find_problem(workspace(resource={**RESOURCE, "instanceType": name}))
    assert problem is not None
    assert problem.reason is Reason.INVALID_SPEC
    assert problem.message.startswith(f"resource.instanceType is {name!r}, which no machine size is called")
    assert "leave it out" in problem.message

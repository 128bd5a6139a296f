"""What was missing of a workspace is made again until it is there, and then what becomes of it is told."""

from __future__ import annotations

from typing import cast

import pytest

from services.chassis.kube import Conflict
from services.chassis.settle import Again, Outdated
from services.deployer.app import Looker
from services.deployer.deployer import Applied, Deployer

KEY = ("team", "w")


class FakeDeployer:
    """Answers as it is told to, and keeps which looks were to mend."""

    def __init__(self, *answers: Again | Exception | None) -> None:
        self._answers = list(answers)
        self.mends: list[bool] = []

    async def look(self, namespace: str, name: str, *, mend: bool = False) -> Again | None:
        self.mends.append(mend)
        answer = self._answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


async def mends(*answers: Again | Exception | None) -> list[bool]:
    """Which of the looks mend, where the first of them follows the loss of an object."""
    deployer = FakeDeployer(*answers)
    looker = Looker(cast(Deployer, deployer), {})
    looker.lost(KEY)
    for _ in answers:
        await looker._look(KEY)
    return deployer.mends


async def test_what_is_there_again_is_only_looked_at() -> None:
    assert await mends(Applied(1), Again(1), None) == [True, False, False]


@pytest.mark.parametrize(
    "answer", [Again(1), Outdated("report"), Conflict(409, "Conflict", "modified"), ValueError("unforeseen")], ids=repr
)
async def test_what_could_not_be_made_is_tried_again(answer: Again | Exception) -> None:
    assert await mends(answer, Applied(1), None) == [True, True, False]


async def test_of_a_workspace_without_a_plan_nothing_is_made() -> None:
    assert await mends(None, None) == [True, False]

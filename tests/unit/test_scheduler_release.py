"""Taking a workspace down: first the workload, then the nodes, then it is let go."""

from __future__ import annotations

from services.contracts.messages import Report
from services.contracts.plan import Plan
from services.contracts.subjects import ServiceName
from services.scheduler.release import release
from tests.unit.planning import planned, workspace

STATE = workspace().model_copy(update={"deleting": True})


def plan(*providers: str) -> Plan:
    return planned(workspace()).model_copy(update={"providers": providers or ("cloud",)})


def released(service: ServiceName, provider: str | None = None, uid: str = "u1") -> Report:
    return Report(
        namespace="default", name="w", uid=uid, generation=1, service=service, provider=provider, released=True
    )


def step(reports: list[Report], *providers: str) -> tuple[bool, list[tuple[str, int]], bool]:
    made = release(STATE, plan(*providers), reports)
    return made.plan is not None and made.plan.retired, [(d.provider, d.nodes) for d in made.demands], made.done


def test_without_a_plan_nothing_was_made_and_it_is_done() -> None:
    assert release(STATE, None, []).done


def test_first_the_workload_is_told_to_go_and_the_nodes_stay() -> None:
    assert step([]) == (True, [], False)


def test_once_the_workload_is_gone_the_nodes_are_let_go() -> None:
    assert step([released(ServiceName.DEPLOYER)]) == (True, [("cloud", 0)], False)


def test_once_the_nodes_are_gone_it_is_done() -> None:
    gone = [released(ServiceName.DEPLOYER), released(ServiceName.PROVISIONER, "cloud")]
    assert step(gone) == (True, [("cloud", 0)], True)


def test_every_provider_that_was_ever_asked_must_let_go() -> None:
    reports = [released(ServiceName.DEPLOYER), released(ServiceName.PROVISIONER, "cloud")]
    assert step(reports, "cloud", "other") == (True, [("cloud", 0), ("other", 0)], False)


def test_reports_about_an_earlier_workspace_of_that_name_do_not_count() -> None:
    assert step([released(ServiceName.DEPLOYER, uid="earlier")]) == (True, [], False)

"""How the suite is told of a provider's faults, and what it says of those that cannot be played."""

from __future__ import annotations

import re
from pathlib import Path

from services.cli.conformance.case import Case
from services.cli.conformance.faults import BUILT_IN, Fault, FaultName, read_faults
from services.cli.conformance.runner import why_not
from services.cli.conformance.scenarios import SCENARIOS
from services.cli.conformance.setting import Setting

PAGE = Path(__file__).parents[2] / "docs" / "write-a-provisioner.md"


def setting(faults: dict[FaultName, Fault]) -> Setting:
    return Setting(wire=None, size="s", nodes=2, patience=1, faults=faults)  # type: ignore[arg-type]  # nothing is sent


def test_what_a_provider_cannot_have_is_not_asked_and_its_reason_is_told() -> None:
    (quota,) = [s for s in SCENARIOS if s.fault is FaultName.QUOTA]
    assert why_not(quota, setting({FaultName.QUOTA: Fault(cannot="it has none")})) == "it has none"
    assert "give --faults with an entry quota" in str(why_not(quota, setting({})))
    assert why_not(quota, setting({FaultName.QUOTA: Fault()})) is None


def test_of_each_provider_without_a_cloud_the_suite_knows_what_it_cannot_have() -> None:
    for provider in ("byo", "local"):
        known = BUILT_IN[provider]
        assert {FaultName.QUOTA, FaultName.THROTTLING, FaultName.LATE, FaultName.CRASH} <= known.keys()
        assert all(fault.cannot or fault.instance_type for fault in known.values())


def test_the_file_in_the_page_can_be_read(tmp_path: Path) -> None:
    (text,) = [b for b in re.findall(r"```yaml\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL) if "quota:" in b]
    path = tmp_path / "faults.yaml"
    path.write_text(text)
    assert read_faults(path)[FaultName.LATE].cannot == "a machine of the rack is there or it is not"


async def test_a_fault_is_begun_and_ended_once_each_by_its_commands(tmp_path: Path) -> None:
    log = tmp_path / "log"
    fault = Fault(before=f"echo begun >> {log}", after=f"echo ended >> {log}")
    case = Case(None, "throttling", "s", 1, fault)  # type: ignore[arg-type]  # nothing is sent
    await case.end_fault()
    assert not log.exists()
    await case.begin_fault()
    await case.end_fault()
    await case.end_fault()
    assert log.read_text().split() == ["begun", "ended"]

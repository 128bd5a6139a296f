"""The local provider: sizes, records, and agents as processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest

from services.contracts.errors import FailureCode, ProviderError
from services.provisioner.provider import InstanceSpec, InstanceState, Owner
from services.provisioner.providers.local.agent import Agents, find, is_alive, tell_to_end
from services.provisioner.providers.local.keep import CRASHES, Keeper
from services.provisioner.providers.local.machine import Gpus, Machine, look, parse_gpus, size_of
from services.provisioner.providers.local.records import ProcessId, Record, Records
from services.provisioner.providers.local.settings import LocalSettings
from tests.unit.provisioner_cloud import START, demand

SPEC = InstanceSpec(
    name="local-a-0", owner=Owner.of(demand()), instance_type="local-4gi", labels={"a": "b", "empty": ""}
)
MACHINE = Machine(total=23.4, available=21, cpus=2)
RTX = Gpus(count=2, model="RTX 4090", memory_gib=24, compute_capability=8.9)


# -- sizes


def test_sizes_double_as_far_as_the_machine_goes() -> None:
    assert MACHINE.sizes == (4, 8, 16)
    assert Machine(total=2, available=1, cpus=1).sizes == (4,)


def test_what_is_in_use_or_handed_out_is_not_offered() -> None:
    def left(machine: Machine, *handed_out: int) -> list[int | None]:
        return [offer.available for offer in machine.offers(handed_out)]

    assert left(MACHINE) == [5, 2, 1]
    assert left(MACHINE, 8) == [3, 1, 0]
    assert left(MACHINE.model_copy(update={"available": 3.1})) == [0, 0, 0]


def test_a_refusal_is_in_plain_words() -> None:
    short = MACHINE.model_copy(update={"available": 3.1})
    with pytest.raises(ProviderError, match=r"this machine has 3\.1 GiB free, local-4gi needs 4 GiB") as caught:
        short.check(4, ())
    assert caught.value.code is FailureCode.INSUFFICIENT_CAPACITY


def test_gpus_go_with_the_largest_size_once() -> None:
    machine = MACHINE.model_copy(update={"gpus": RTX})
    assert [offer.gpus for offer in machine.offers(())] == [0, 0, 2]
    assert machine.offers((16,))[-1].available == 0
    with pytest.raises(ProviderError, match="in use"):
        machine.check(16, (16,))


@pytest.mark.parametrize(("text", "gpus"), [("", Gpus()), ("nonsense", Gpus()), ("RTX 4090, 24576, 8.9\n" * 2, RTX)])
def test_what_nvidia_smi_says_is_read(text: str, gpus: Gpus) -> None:
    assert parse_gpus(text) == gpus


@pytest.mark.parametrize("name", ["Standard_A", "local-gi", "local-4", "local--4gi", "4gi"])
def test_a_name_that_is_no_size_of_ours_is_refused(name: str) -> None:
    with pytest.raises(ProviderError) as caught:
        size_of(name)
    assert caught.value.code is FailureCode.INVALID_REQUEST


def test_this_very_machine_can_be_measured() -> None:
    machine = look(Gpus())
    assert 0 < machine.available <= machine.total
    assert machine.cpus >= 1


# -- records


@pytest.fixture
def records(tmp_path: Path) -> Records:
    found = Records(tmp_path)
    with found.locked():
        pass
    return found


def test_a_record_is_read_as_it_was_written_and_is_nobody_elses_to_read(records: Records, tmp_path: Path) -> None:
    record = records.write(Record(spec=SPEC, created_at=START))
    assert records.read("local-a-0") == record
    assert records.all() == [record]
    assert (tmp_path / "instances" / "local-a-0.json").stat().st_mode & 0o777 == 0o600


def test_a_removed_machine_leaves_nothing(records: Records) -> None:
    record = records.write(Record(spec=SPEC, created_at=START))
    records.node_dir("local-a-0").mkdir()
    records.remove(record)
    records.remove(record)
    assert records.all() == []
    assert not records.node_dir("local-a-0").exists()


# -- agents: real processes


def agent(tmp_path: Path, script: str) -> Agents:
    (tmp_path / "config").touch()
    return Agents(LocalSettings(kubeconfig=tmp_path / "config", agent=(sys.executable, "-c", script)))


def wait(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def _dead(record: Record) -> bool:
    return not is_alive(record.agent)


SLEEPS = "import sys, time; print(sys.argv[1:], flush=True); time.sleep(60)"


def test_an_agent_is_started_with_what_its_node_needs_and_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KAITOBUS_NATS_URL", "nats://token@host")
    process = agent(tmp_path, SLEEPS).start(SPEC, 2, tmp_path / "n")
    log = tmp_path / "n" / "agent.log"
    wait(lambda: log.exists() and "]" in log.read_text())
    said = log.read_text()
    for option in ("--name=local-a-0", "--labels=a=b'", "--memory=4Gi", "--gpus=2", f"--state-dir={tmp_path}/n"):
        assert option in said
    assert b"KAITOBUS_NATS_URL" not in Path(f"/proc/{process.pid}/environ").read_bytes()
    assert os.getsid(process.pid) == process.pid
    tell_to_end(process)
    wait(lambda: not is_alive(process))


def test_an_agent_that_runs_unrecorded_is_adopted(tmp_path: Path) -> None:
    agents = agent(tmp_path, SLEEPS)
    first = agents.start(SPEC, 0, tmp_path / "n")
    wait(lambda: find(f"--state-dir={tmp_path}/n"))
    assert agents.start(SPEC, 0, tmp_path / "n") == first
    tell_to_end(first, kill=True)
    wait(lambda: not is_alive(first))


def test_a_pid_that_now_belongs_to_another_process_is_left_alone(tmp_path: Path) -> None:
    other = subprocess.Popen(["sleep", "60"], start_new_session=True)
    stale = ProcessId(pid=other.pid, start_ticks=1, boot_id=Path("/proc/sys/kernel/random/boot_id").read_text().strip())
    assert not is_alive(stale)
    tell_to_end(stale, kill=True)
    assert other.poll() is None
    other.send_signal(signal.SIGKILL)
    other.wait()


def test_an_agent_that_cannot_be_started_says_why(tmp_path: Path) -> None:
    agents = Agents(LocalSettings(kubeconfig=tmp_path, agent=("/nowhere/agent",)))
    with pytest.raises(ProviderError, match="/nowhere/agent: No such file"):
        agents.start(SPEC, 0, tmp_path / "n")


# -- keeping


def test_an_agent_that_keeps_dying_makes_its_machine_fail_and_leave_nothing(tmp_path: Path, records: Records) -> None:
    keeper = Keeper(records, agent(tmp_path, "raise SystemExit('no luck today')"), 10)
    record, now = records.write(Record(spec=SPEC, created_at=START)), datetime.now(UTC)
    starts = 0
    while record.failure is None:
        record = keeper.keep(record, now)
        starts += record.agent is not None
        wait(partial(_dead, record))
        now += timedelta(seconds=60)
    assert starts == CRASHES
    assert record.instance().state is InstanceState.FAILED
    assert record.failure.message.endswith("no luck today")
    keeper.keep(records.write(record.with_(deleting=True)), now)
    assert records.all() == []


def test_between_two_starts_of_a_dying_agent_there_is_a_pause(tmp_path: Path, records: Records) -> None:
    keeper = Keeper(records, agent(tmp_path, "raise SystemExit(1)"), 10)
    crashed = Record(spec=SPEC, created_at=START, crashes=2, start_at=START + timedelta(seconds=4))
    assert keeper.keep(crashed, START + timedelta(seconds=3)).agent is None


def test_an_agent_is_told_to_end_only_once_it_can_hear_it(tmp_path: Path, records: Records) -> None:
    keeper, start = Keeper(records, agent(tmp_path, SLEEPS), 10), datetime.now(UTC)
    record = keeper.keep(Record(spec=SPEC, created_at=start), start)
    going = record.with_(deleting=True)
    assert keeper.keep(going, start + timedelta(seconds=1)).told_to_end_at is None
    told = keeper.keep(going, start + timedelta(seconds=3))
    assert told.told_to_end_at is not None
    wait(lambda: not is_alive(told.agent))
    keeper.keep(told, start + timedelta(seconds=4))
    assert records.all() == []


def test_an_agent_that_does_not_end_is_killed(tmp_path: Path, records: Records) -> None:
    deaf = "import signal, time; signal.signal(15, signal.SIG_IGN); print('deaf', flush=True); time.sleep(60)"
    keeper, start = Keeper(records, agent(tmp_path, deaf), 10), datetime.now(UTC)
    record = keeper.keep(Record(spec=SPEC, created_at=start), start)
    wait(lambda: "deaf" in (records.node_dir("local-a-0") / "agent.log").read_text())
    told = keeper.keep(record.with_(deleting=True), start + timedelta(seconds=3))
    assert is_alive(told.agent)
    keeper.keep(told, start + timedelta(seconds=14))
    wait(lambda: not is_alive(told.agent))


def test_a_machine_whose_agent_had_died_ends_by_a_new_agent(tmp_path: Path, records: Records) -> None:
    """Only an agent knows the processes of its pods."""
    keeper, now = Keeper(records, agent(tmp_path, SLEEPS), 10), datetime.now(UTC)
    record = keeper.keep(Record(spec=SPEC, created_at=now), now)
    assert record.agent is not None
    tell_to_end(record.agent, kill=True)
    wait(lambda: not is_alive(record.agent))
    again = keeper.keep(record.with_(deleting=True), now)
    assert is_alive(again.agent)
    told = keeper.keep(again, now + timedelta(seconds=5))
    wait(lambda: not is_alive(told.agent))
    keeper.keep(told, now + timedelta(seconds=6))
    assert records.all() == []

"""The figures of starts: paired by round, and CPU seconds of all processes of one start."""

from __future__ import annotations

from pathlib import Path

from tests.bench.start import BARE, OURS, TICK, Sample, cpu_seconds, ratio, table


def sample(program: str, number: int, seconds: float, cache: str = "cold") -> Sample:
    return Sample(program, cache, number, seconds, seconds * 2, {"import": 5.0} if program == OURS else {})


def test_ours_is_compared_with_the_bare_one_of_the_same_round() -> None:
    samples = [
        sample(BARE, 0, 10), sample(OURS, 0, 11), sample(OURS, 1, 40), sample(BARE, 1, 40), sample(BARE, 2, 10),
        sample(OURS, 2, 10.2), sample(OURS, 3, 99), sample(OURS, 0, 5, "warm"),
    ]  # fmt: skip
    assert ratio(samples, "cold", "seconds") == "1.020"
    assert ratio(samples, "warm", "seconds") == "-"


def test_the_table_has_a_row_for_each_and_the_phases() -> None:
    lines = table([sample(BARE, 0, 10), sample(OURS, 0, 11)]).splitlines()
    assert lines[2].split() == ["kaitobus-inference,", "cold", "1", "11.0", "11.0", "11.0", "22.0", "1.100", "1.100"]
    assert lines[3].split()[:3] == ["vllm", "serve,", "warm"]
    assert lines[-2:] == ["phases, cold: import 5.0 s", "phases, warm: -"]


def test_cpu_seconds_are_of_all_processes_of_the_session_and_of_no_other(tmp_path: Path) -> None:
    for pid, session in ((7, 7), (8, 7), (9, 1)):
        (tmp_path / str(pid)).mkdir()
        numbers = " ".join(["0"] * 7)
        (tmp_path / str(pid) / "stat").write_text(
            f"{pid} (a ) b) S 1 7 {session} {numbers} {TICK} {TICK} 0 {TICK} 20\n"
        )
    assert cpu_seconds(7, tmp_path) == 6.0

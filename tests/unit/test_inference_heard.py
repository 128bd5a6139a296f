"""vLLM's log lines as the steps of a start."""

import logging
from pathlib import Path

import pytest

from services.inference.heard import Heard, Step, StepListener, hear, merge, read_steps

AT = 100 * 10**9


@pytest.mark.parametrize(
    ("line", "step", "seconds"),
    [
        ("Time spent downloading weights for a/b: 12.500000 seconds", Step.DOWNLOAD, 12.5),
        ("Loading weights took 1.50 seconds", Step.LOAD, 1.5),
        ("torch.compile took 20.00 s in total", Step.COMPILE, 20),
        ("torch.compile and initial profiling/warmup run together took 20.00 s in total", Step.COMPILE, 20),
        ("Graph capturing finished in 5 secs, took 0.50 GiB", Step.GRAPHS, 5),
        ("Warming up done.", Step.WARM_UP, 0),
    ],
)
def test_a_line_tells_what_has_ended_and_how_long_it_took(line: str, step: Step, seconds: float) -> None:
    assert hear(line, AT) == Heard(step, AT - int(seconds * 1e9), AT)


def test_a_line_tells_what_begins() -> None:
    assert hear("Starting to load model /models/x...", AT) == Heard(Step.LOAD, AT)
    assert hear("Warming up model for the compilation...", AT) == Heard(Step.WARM_UP, AT)
    assert hear("Using V2 Model Runner", AT) is None


def test_workers_together_take_from_the_first_start_to_the_last_end() -> None:
    heard = [Heard(Step.WARM_UP, 30), Heard(Step.LOAD, 2), Heard(Step.LOAD, 3, 9), Heard(Step.LOAD, 4, 8)]
    assert merge(heard) == [Heard(Step.LOAD, 2, 9), Heard(Step.WARM_UP, 30)]


def test_what_one_process_hears_another_reads(tmp_path: Path) -> None:
    file = tmp_path / "steps"
    file.write_text("[half")
    assert read_steps(file) == []
    file.write_text("")
    logger = logging.getLogger("test-heard")
    logger.setLevel(logging.INFO)
    logger.propagate = False
    logger.addHandler(StepListener(file))
    logger.addHandler(StepListener(tmp_path / "missing"))
    logger.info("Starting to load model %s...", "x")
    logger.info("nothing of the kind")
    logger.info("Loading weights took %.2f seconds", 0.25)
    (step,) = read_steps(file)
    assert step.step is Step.LOAD
    assert step.end_ns is not None


def test_without_a_file_nothing_was_heard(tmp_path: Path) -> None:
    assert read_steps(tmp_path / "missing") == []

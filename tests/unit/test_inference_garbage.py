"""How often the engine's processes look for garbage."""

from __future__ import annotations

import gc
import subprocess
import sys
from collections.abc import Iterator

import pytest

from services.inference.garbage import SELDOM, look_as_usual, look_seldom


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    before = gc.get_threshold()
    yield
    gc.unfreeze()
    gc.set_threshold(*before)


def thresholds_after(statement: str) -> str:
    """What a new Python looks for garbage by, once it has done this."""
    command = [sys.executable, "-c", f"{statement}; import gc; print(gc.get_threshold()[0], gc.get_freeze_count() > 0)"]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=30).stdout.strip()


def test_garbage_is_looked_for_seldom_and_then_as_usual_but_not_in_what_was_there() -> None:
    look_seldom()
    assert gc.get_threshold()[0] == SELDOM
    look_as_usual()
    assert gc.get_threshold()[0] < SELDOM
    assert gc.get_freeze_count() > 0


def test_a_process_of_the_engine_begins_seldom_and_its_worker_goes_on_as_usual() -> None:
    """Spawned processes import the program's first file; the worker loads `measured` once vLLM is imported."""
    assert thresholds_after("import services.inference.app") == f"{SELDOM} False"
    assert thresholds_after("import services.inference.app, services.inference.measured") == "700 True"

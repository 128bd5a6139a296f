"""A cache of compiled graphs that a killed process left half written does not keep the next one from starting."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.inference.compiled import drop_broken

WHOLE = "{   ((1, 2048), 0, 'inductor'): ('ab12', '/kept/ab12')}"


def index(home: Path, content: str) -> Path:
    path = home / "torch_compile_cache" / "0123456789" / "rank_0_0" / "backbone" / "vllm_compile_cache.py"
    path.parent.mkdir(parents=True)
    path.write_text(content)
    return path


@pytest.mark.parametrize("content", ["", WHOLE[:-1], WHOLE[:20], "{(((((", "None", "\0"])
def test_an_index_that_was_cut_off_is_removed_and_nothing_else(tmp_path: Path, content: str) -> None:
    path = index(tmp_path, content)
    (path.parent / "computation_graph.py").write_text("def f(")
    assert drop_broken(str(tmp_path)) == [path]
    assert [left.name for left in path.parent.iterdir()] == ["computation_graph.py"]


def test_one_that_is_whole_stays(tmp_path: Path) -> None:
    path = index(tmp_path, WHOLE)
    (tmp_path / "gpu_p2p_access_cache_for_0,1.json").write_text('{"0->1": true}')
    assert drop_broken(str(tmp_path)) == []
    assert path.read_text() == WHOLE


def test_the_ways_between_gpus_are_looked_at_too(tmp_path: Path) -> None:
    path = tmp_path / "gpu_p2p_access_cache_for_0,1.json"
    path.write_text('{"0->1": tr')
    assert drop_broken(str(tmp_path)) == [path]


def test_where_nothing_is_kept_there_is_nothing_to_do(tmp_path: Path) -> None:
    assert drop_broken(None) == drop_broken("") == drop_broken(str(tmp_path / "none")) == []

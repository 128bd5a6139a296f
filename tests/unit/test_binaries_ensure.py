"""Two processes never fetch the programs side by side, and a half-made folder is never taken for a whole one."""

import asyncio
from pathlib import Path

import pytest
from filelock import FileLock

from deploy.local.binaries import Binaries, ensure_control_plane
from deploy.local.binaries.folders import made_whole
from deploy.local.binaries.model import NAMES


async def test_the_second_process_waits_and_takes_what_the_first_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("KUBEBUILDER_ASSETS", raising=False)
    cache = tmp_path / "kaitobus/kubernetes"
    cache.mkdir(parents=True)
    waiting = asyncio.Event()
    with FileLock(cache / ".lock"):
        second = asyncio.create_task(ensure_control_plane(lambda _: waiting.set()))
        await asyncio.wait_for(waiting.wait(), 60)
        with made_whole(cache / "v1.34.2") as draft:
            for name in NAMES:
                (draft / name).touch(mode=0o755)
    assert await asyncio.wait_for(second, 60) == Binaries.in_folder(cache / "v1.34.2")


def test_a_folder_appears_only_when_it_is_whole(tmp_path: Path) -> None:
    target = tmp_path / "v1"
    with made_whole(target) as draft:
        (draft / "etcd").touch()
        assert not target.exists()
    assert [path.name for path in tmp_path.rglob("*")] == ["v1", "etcd"]


def test_a_failure_leaves_nothing(tmp_path: Path) -> None:
    def make() -> None:
        with made_whole(tmp_path / "v1") as draft:
            (draft / "etcd").touch()
            (tmp_path / "missing").rename(draft / "kube-scheduler")

    with pytest.raises(FileNotFoundError):
        make()
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_attempt_left_is_thrown_away(tmp_path: Path) -> None:
    (tmp_path / ".v1.draft").mkdir()
    (tmp_path / ".v1.draft/half").touch()
    with made_whole(tmp_path / "v1") as draft:
        assert list(draft.iterdir()) == []

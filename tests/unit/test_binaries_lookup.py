"""Where the control plane's programs are looked for, and in which order."""

from pathlib import Path

import pytest

from deploy.local.binaries.lookup import cache_folder, find_binaries
from deploy.local.binaries.model import NAMES, Binaries


def programs(folder: Path, names: tuple[str, ...] = NAMES, mode: int = 0o755) -> Path:
    folder.mkdir(parents=True)
    for name in names:
        (folder / name).write_text("#!/bin/sh\n")
        (folder / name).chmod(mode)
    return folder


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    """All three places, each with a complete set."""
    programs(tmp_path / "cache/kaitobus/kubernetes/v1.20.2")
    return {
        "KUBEBUILDER_ASSETS": str(programs(tmp_path / "assets")),
        "PATH": f"{tmp_path / 'nothing'}:{programs(tmp_path / 'bin')}",
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
    }


def found(env: dict[str, str]) -> Binaries | None:
    return find_binaries(env, lambda _: None)


def test_the_named_folder_wins(env: dict[str, str], tmp_path: Path) -> None:
    assert found(env) == Binaries.in_folder(tmp_path / "assets")


def test_then_path(env: dict[str, str], tmp_path: Path) -> None:
    del env["KUBEBUILDER_ASSETS"]
    assert found(env) == Binaries.in_folder(tmp_path / "bin")


def test_then_the_cache(env: dict[str, str], tmp_path: Path) -> None:
    assert found({"XDG_CACHE_HOME": env["XDG_CACHE_HOME"], "PATH": ""}) == Binaries.in_folder(
        tmp_path / "cache/kaitobus/kubernetes/v1.20.2"
    )


def test_of_the_cached_versions_the_newest(env: dict[str, str], tmp_path: Path) -> None:
    cache = tmp_path / "cache/kaitobus/kubernetes"
    newest = programs(cache / "v1.34.10")
    programs(cache / "v1.34.9")
    assert found({"XDG_CACHE_HOME": env["XDG_CACHE_HOME"], "PATH": ""}) == Binaries.in_folder(newest)


def test_nothing_found_is_none(tmp_path: Path) -> None:
    assert found({"PATH": str(tmp_path), "HOME": str(tmp_path)}) is None


def test_a_named_folder_without_all_four_is_passed_over_and_said_so(env: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "assets/kube-scheduler").unlink()
    said: list[str] = []
    assert find_binaries(env, said.append) == Binaries.in_folder(tmp_path / "bin")
    assert said == [f"KUBEBUILDER_ASSETS={tmp_path / 'assets'} has no kube-scheduler: looking further"]


def test_files_that_cannot_be_executed_do_not_count(tmp_path: Path) -> None:
    folder = programs(tmp_path / "assets", mode=0o644)
    assert found({"KUBEBUILDER_ASSETS": str(folder), "PATH": "", "HOME": str(tmp_path)}) is None


def test_drafts_in_the_cache_do_not_count(tmp_path: Path) -> None:
    programs(tmp_path / "kaitobus/kubernetes/.v1.20.2.draft")
    assert found({"PATH": "", "XDG_CACHE_HOME": str(tmp_path)}) is None


@pytest.mark.parametrize("relative", ["", "cache"])
def test_a_relative_cache_setting_is_ignored(relative: str) -> None:
    folder = cache_folder({"XDG_CACHE_HOME": relative, "HOME": "/home/ada"})
    assert folder == Path("/home/ada/.cache/kaitobus/kubernetes")

"""`up` works on the cluster that KUBECONFIG names, and never mixes two."""

from __future__ import annotations

from pathlib import Path

import pytest

from deploy.local.cluster import foreign_kubeconfig, own_kubeconfig
from deploy.local.kubectl import server_version
from deploy.local.state import LocalState, StateError, read_state, state_folder


@pytest.fixture
def theirs(tmp_path: Path) -> Path:
    path = tmp_path / "theirs.yaml"
    path.touch()
    return path


def state(folder: Path, kubeconfig: Path, *, own: bool) -> LocalState:
    return LocalState(folder=folder, kubeconfig=kubeconfig, nats_url="nats://t@127.0.0.1:1", own_cluster=own)


def test_without_kubeconfig_a_control_plane_is_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBECONFIG", raising=False)

    assert foreign_kubeconfig(tmp_path, None) is None


def test_the_cluster_that_kubeconfig_names_is_used(
    tmp_path: Path, theirs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(theirs))

    assert foreign_kubeconfig(tmp_path, None) == theirs


def test_our_own_kubeconfig_in_the_shell_changes_nothing_even_after_down(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(own_kubeconfig(tmp_path)))

    assert foreign_kubeconfig(tmp_path, None) is None


def test_a_kubeconfig_that_is_not_there_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))

    with pytest.raises(StateError, match=r"is not there\. Unset it"):
        foreign_kubeconfig(tmp_path, None)


@pytest.mark.parametrize("own_before", [True, False])
def test_what_runs_on_one_cluster_is_not_moved_to_another(
    tmp_path: Path, theirs: Path, monkeypatch: pytest.MonkeyPatch, *, own_before: bool
) -> None:
    if own_before:
        monkeypatch.setenv("KUBECONFIG", str(theirs))
    else:
        monkeypatch.delenv("KUBECONFIG", raising=False)
    before = state(tmp_path, own_kubeconfig(tmp_path) if own_before else theirs, own=own_before)

    with pytest.raises(StateError, match="make down"):
        foreign_kubeconfig(tmp_path, before)


def test_a_record_that_cannot_be_read_counts_as_none(tmp_path: Path) -> None:
    (tmp_path / "local.json").write_text("{}")

    assert read_state(tmp_path) is None
    assert read_state(tmp_path / "nowhere") is None


def test_the_state_folder_can_be_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAITOBUS_STATE_DIR", str(tmp_path))

    assert state_folder() == tmp_path


@pytest.mark.parametrize(
    ("answer", "version"),
    [
        ('{"serverVersion": {"major": "1", "minor": "20"}}', (1, 20)),
        ('{"serverVersion": {"major": "1", "minor": "31+"}}', (1, 31)),
        ('{"clientVersion": {}}', (0, 0)),
    ],
)
def test_the_servers_version_is_read_as_clouds_write_it(answer: str, version: tuple[int, int]) -> None:
    assert server_version(answer) == version

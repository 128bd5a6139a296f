"""NATS' store on one machine: kept while the machine runs, dropped when it was started anew."""

from __future__ import annotations

from pathlib import Path

import pytest

from deploy.local.nats import NATS, drop_torn
from deploy.local.process import RunningProcess
from deploy.local.state import LocalState

NOW = Path("/proc/sys/kernel/random/boot_id").read_text().strip()


@pytest.mark.parametrize(("boot_id", "kept"), [(NOW, True), ("of the boot before", False), (None, True)])
def test_what_a_crash_of_the_machine_may_have_torn_is_dropped(tmp_path: Path, boot_id: str | None, kept: bool) -> None:
    state = LocalState(folder=tmp_path, kubeconfig=tmp_path / "kubeconfig", nats_url="nats://token@127.0.0.1:1")
    message = tmp_path / "nats" / "jetstream" / "1.blk"
    message.parent.mkdir(parents=True)
    message.write_text("a message")
    state.run_folder.mkdir(parents=True)
    if boot_id:
        process = RunningProcess(name=NATS, pid=1, start_time=1, boot_id=boot_id, argv=("nats-server",))
        (state.run_folder / f"{NATS}.json").write_text(process.model_dump_json())
    drop_torn(state)
    assert message.exists() is kept

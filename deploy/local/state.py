"""What `up` leaves behind for later commands: one folder, readable for the user alone, with one record in it."""

from __future__ import annotations

import os
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

CHECKOUT = Path(__file__).resolve().parents[2]
RECORD = "local.json"


class StateError(Exception):
    """The state folder cannot be used; the message says why and what to do."""


class LocalState(BaseModel):
    """Where everything is. `own_cluster` tells a control plane that `up` started from one that KUBECONFIG named."""

    model_config = ConfigDict(frozen=True)

    folder: Path
    kubeconfig: Path
    nats_url: str
    """With the token that opens it: for a file of mode 0600 or an environment, never for a log."""
    own_cluster: bool = True

    @property
    def run_folder(self) -> Path:
        """Where processes are recorded, one file each."""
        return self.folder / "run"

    @property
    def logs(self) -> Path:
        """Where processes write what they have to say, one file each."""
        return self.folder / "logs"

    @property
    def node_folder(self) -> Path:
        """Where the local provisioner keeps its node agents."""
        return self.folder / "nodes"


def state_folder() -> Path:
    """The state folder: $KAITOBUS_STATE_DIR, else `.kaitobus` here, in the checkout, or where it would be made."""
    if named := os.environ.get("KAITOBUS_STATE_DIR"):
        return Path(named).expanduser().absolute()
    here = Path.cwd() / ".kaitobus"
    is_checkout = (CHECKOUT / "pyproject.toml").is_file()
    return CHECKOUT / ".kaitobus" if is_checkout and not (here / RECORD).exists() else here


def make_state_folder(folder: Path) -> None:
    """Make the folder for the user alone. Raises StateError where that cannot be."""
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        folder.chmod(0o700)
    except OSError as error:
        raise StateError(f"The state folder {folder} cannot be used: {error.strerror}.") from error


def read_state(folder: Path) -> LocalState | None:
    """What an earlier `up` recorded; None where none has run."""
    try:
        return LocalState.model_validate_json((folder / RECORD).read_bytes())
    except (FileNotFoundError, NotADirectoryError, ValidationError):
        return None


def write_private(path: Path, content: bytes) -> None:
    """Write a file that only the user can read, whole or not at all."""
    draft = path.with_name(f".{path.name}.draft")
    draft.unlink(missing_ok=True)
    draft.touch(mode=0o600)
    draft.write_bytes(content)
    draft.rename(path)

"""What the processes of one run are told, and where in the pod's volume what they make is kept."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict

from services.tuning.sections import TuningConfig


class Spec(BaseModel):
    """One run. `model` is a folder or an id of the hub, `name` the id for people; `work` is the pod's volume.

    `kept` is a folder for checkpoints that outlives the pod.
    """

    model_config = ConfigDict(frozen=True, protected_namespaces=())

    model: str
    name: str
    revision: str | None = None
    method: str = "lora"
    processes: int = 1
    data: Path
    work: Path
    kept: Path | None = None
    config: TuningConfig = TuningConfig()

    @property
    def file(self) -> Path:
        """Where this is written for the other processes."""
        return self.work / "spec.json"

    @property
    def checkpoints(self) -> Path:
        """Folder of what a run goes on from."""
        return self.kept or self.work / "checkpoints"

    @property
    def adapter(self) -> Path:
        """The result: there and whole, or not there."""
        return self.work / "adapter"

    @property
    def trained(self) -> Path:
        """How the training ended."""
        return self.work / "trained.json"

    @property
    def evaluated(self) -> Path:
        """The loss on data that was held out."""
        return self.work / "evaluated.json"

    @property
    def failure(self) -> Path:
        """Why one of the processes ended."""
        return self.work / "failure.json"

    def write(self) -> None:
        """Leave it for the other processes."""
        self.file.write_text(self.model_dump_json(by_alias=True))

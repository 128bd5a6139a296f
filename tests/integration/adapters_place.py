"""A pod that prepares adapters: its folders, its model, and what comes of an adapter."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.inference.adapters.job import Base, Job, Prepared
from services.inference.adapters.prepare import answer
from services.inference.adapters.wanted import Adapter, Mounts
from tests.lora.files import BASE, matrices, safetensors

SMALL = matrices(layers=2, size=16)
CONFIG, MATRICES = "adapter_config.json", "adapter_model.safetensors"


class Place:
    """A pod's folders. The model that it serves has two layers."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.volume, self.secret, self.model = folder / "volume", folder / "secret", folder / "model"
        for made in (self.volume, self.secret, self.model):
            made.mkdir()
        weights = {name.removeprefix("base_model.model.").replace("lora_A.", ""): m for name, m in SMALL.items()}
        square = {name: ((16, 16), (values * 4)[:256]) for name, (_, values) in weights.items() if "lora" not in name}
        (self.model / "model.safetensors").write_bytes(safetensors(square))

    def job(self, **adapter: object) -> Job:
        """The job to prepare an adapter."""
        return Job(
            adapter=Adapter.model_validate({"name": "a", **adapter}),
            mounts=Mounts(secrets={"registry": str(self.secret)}, volumes={"v": str(self.volume)}),
            base=Base(id=BASE, folder=str(self.model), max_rank=8),
            home=str(self.folder / "home"),
        )

    def prepared(self, **adapter: object) -> Prepared:
        """What is prepared; there must be no error."""
        found = answer(self.job(**adapter))
        assert found.prepared is not None, found.error
        return found.prepared

    def refused(self, **adapter: object) -> str:
        """What is said of an adapter that cannot be prepared, of which nothing must be left to load."""
        found = answer(self.job(**adapter))
        assert found.prepared is None
        assert found.error is not None
        assert list((self.folder / "home" / "ready").glob("[!.]*")) == []
        return found.error


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """Those of a pod that has just started."""
    return Place(tmp_path)

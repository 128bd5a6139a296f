"""Adapters from volumes, good and bad: what is prepared for the engine, or what is said."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import pytest

from tests.integration.adapters_place import CONFIG, MATRICES, SMALL, Place, place
from tests.lora.files import BASE, matrices, write_adapter

__all__ = ["place"]


class TestVolume:
    """A volume is mounted; what lies in it is only read."""

    def test_what_the_engine_loads_is_a_copy_with_the_strength_in_its_config(self, place: Place) -> None:
        write_adapter(place.volume, SMALL, lora_alpha=8)
        before = {path: path.read_bytes() for path in place.volume.iterdir()}
        found = place.prepared(volume="v", strength=0.25)
        assert json.loads((Path(found.folder) / CONFIG).read_text())["lora_alpha"] == 2
        assert (Path(found.folder) / MATRICES).read_bytes() == before[place.volume / MATRICES]
        assert {path: path.read_bytes() for path in place.volume.iterdir()} == before
        assert found.rank == 4

    def test_only_another_content_or_strength_has_another_folder(self, place: Place) -> None:
        write_adapter(place.volume, SMALL)
        folders = [place.prepared(volume="v", strength=strength).folder for strength in (1, 0.5, 1)]
        assert folders[0] == folders[2] != folders[1]
        write_adapter(place.volume, matrices(7, layers=2, size=16))
        assert place.prepared(volume="v").folder not in folders

    def test_a_volume_may_hold_several_adapters_by_their_names(self, place: Place) -> None:
        for seed, name in enumerate(("a", "b")):
            write_adapter(place.volume / name, matrices(seed, layers=2, size=16))
        assert place.prepared(volume="v", name="a").digest != place.prepared(volume="v", name="b").digest

    def test_one_of_another_architecture_is_refused_before_the_engine_sees_it(self, place: Place) -> None:
        write_adapter(place.volume, matrices(layers=2, size=16, module="transformer.h.{}.attn"))
        assert f"changes transformer.h.0.attn and 1 more, which {BASE} does not have" in place.refused(volume="v")
        write_adapter(place.volume, matrices(layers=2, size=32))
        assert f"32 x 32, and in {BASE} that is 16 x 16" in place.refused(volume="v")
        write_adapter(place.volume, SMALL, base_model_name_or_path="org/other")
        assert place.refused(volume="v").startswith(f"It was made for org/other, and {BASE} is served here")

    def test_a_rank_that_there_is_no_room_for_says_what_to_set(self, place: Place) -> None:
        write_adapter(place.volume, matrices(layers=2, size=16, rank=12), r=12)
        assert "Set vllm.max-lora-rank to 16" in place.refused(volume="v")

    def test_pickles_are_refused(self, place: Place) -> None:
        write_adapter(place.volume, SMALL)
        (place.volume / MATRICES).rename(place.volume / "adapter_model.bin")
        assert "hold Python pickles, which run code" in place.refused(volume="v")

    def test_weights_under_another_name_are_told(self, place: Place) -> None:
        write_adapter(place.volume, SMALL)
        (place.volume / MATRICES).rename(place.volume / "model.safetensors")
        assert f"There is no {MATRICES} in it" in place.refused(volume="v")

    def test_a_file_that_is_cut_short_is_told(self, place: Place) -> None:
        write_adapter(place.volume, SMALL)
        os.truncate(place.volume / MATRICES, 500)
        assert "cut short" in place.refused(volume="v")

    def test_an_empty_volume_and_one_that_is_not_mounted(self, place: Place) -> None:
        assert "no files of a adapter" in place.refused(volume="v")
        assert "not mounted yet" in place.refused(volume="other")

    def test_a_full_disk_is_told_and_leaves_nothing_half(self, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
        write_adapter(place.volume, SMALL)

        def full(*_: object) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr("services.inference.adapters.prepare.shutil.copyfile", full)
        assert place.refused(volume="v") == "The disk is full."
        monkeypatch.undo()
        assert place.prepared(volume="v")

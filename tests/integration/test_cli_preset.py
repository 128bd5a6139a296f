"""`kaitobus preset add` and `kaitobus size` with a model of a hub, as a person calls them."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from importlib.resources import files
from pathlib import Path

import pytest

from services.scheduler.catalog import parse_catalogue
from services.scheduler.facts import ModelFacts
from tests.hub.models import COMMIT, single
from tests.hub.server import Hub
from tests.integration.hub_fixtures import hub

__all__ = ["hub"]


async def kaitobus(hub: Hub, *arguments: str, token: str = "") -> tuple[int, str, str]:
    """The exit code, and what went to standard output and standard error."""
    environment = {**os.environ, "HF_ENDPOINT": hub.url} | ({"HF_TOKEN": token} if token else {})
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "services.cli.main", *arguments, env=environment,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    async with asyncio.timeout(60):
        out, err = await process.communicate()
    return process.returncode or 0, out.decode(), err.decode()


async def test_a_model_is_added_at_its_commit(hub: Hub, tmp_path: Path) -> None:
    hub.add(single("Acme/Small-1B", gated="auto", tokens=frozenset({"hf_right"})))
    file = tmp_path / "models.yaml"
    file.write_text(files("presets").joinpath("models.yaml").read_text())
    code, out, err = await kaitobus(hub, "preset", "add", "Acme/Small-1B", "--file", str(file), token="hf_right")
    assert (code, err) == (0, "")
    assert COMMIT in out
    found = parse_catalogue(file.read_text()).resolve("small-1b")
    assert isinstance(found, ModelFacts)
    assert (found.revision, found.gated, found.weights_gib) == (COMMIT, True, 2.3)
    assert "hf_right" not in file.read_text()


async def test_it_can_be_looked_at_without_writing(hub: Hub) -> None:
    hub.add(single())
    code, out, _ = await kaitobus(hub, "preset", "add", "acme/small-1b", "-f", "-")
    assert code == 0
    assert "2.30 GiB of BF16" in out
    assert "- {id: acme/small-1b, revision: 0123456789abcdef" in out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["preset", "add", "acme/nothing"], "has no model"),
        (["preset", "add", "phi-4"], "organisation/model"),
        (["preset", "show", "phi-44"], "Did you mean"),
        (["size", "--config", "microsoft/phi-44", "--gpu-memory", "80GiB"], "Did you mean microsoft/phi-4"),
    ],
)
async def test_what_goes_wrong_is_a_sentence(hub: Hub, arguments: list[str], words: str) -> None:
    code, _, err = await kaitobus(hub, *arguments)
    assert code == 1
    assert words in err
    assert "Traceback" not in err


async def test_a_model_of_the_hub_is_sized_by_its_id(hub: Hub) -> None:
    hub.add(single())
    code, out, err = await kaitobus(hub, "size", "--config", "acme/small-1b", "--gpu-memory", "22GiB", "-o", "json")
    assert (code, err) == (0, "")
    assert json.loads(out)["weights_gib"] == pytest.approx(2.3, rel=0.05)

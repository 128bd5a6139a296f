"""The keeper around the decisions: what becomes of adapters that change, fail or go while they are being brought."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from services.inference.adapters.job import Base, Job, Prepared
from services.inference.adapters.keeper import KEEP_S, Keeper
from services.inference.adapters.wanted import AdapterError, Mounts


class Table:
    """The engine's table of adapters: folders by name. Names in `refused` are not loaded."""

    def __init__(self) -> None:
        self.served: dict[str, str] = {}
        self.refused: set[str] = set()

    async def load(self, name: str, folder: str) -> None:
        if name in self.refused:
            raise AdapterError("The engine refuses it.")
        self.served[name] = folder

    async def unload(self, name: str) -> None:
        del self.served[name]


class Pod:
    """A keeper with its list, its engine, a clock, and a way to prepare that a test may hold up."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.file = folder / "adapters.json"
        self.engine = Table()
        self.now = 0.0
        self.held: dict[str, asyncio.Event] = {}
        self.cancelled: list[str] = []
        self.prepared = 0
        base = Base(max_rank=8)
        self.keeper = Keeper(self.file, folder, Mounts(), base, self.engine, self.prepare, lambda: self.now)

    async def prepare(self, job: Job) -> Prepared:
        """The folder is named by image and strength, as for real by the content."""
        self.prepared += 1
        image = job.adapter.image or ""
        try:
            if image in self.held:
                await self.held[image].wait()
        except asyncio.CancelledError:
            self.cancelled.append(image)
            raise
        if image == "bad":
            raise AdapterError("It is bad.")
        folder = self.folder / "ready" / f"{image}-{job.adapter.strength}"
        folder.mkdir(parents=True, exist_ok=True)
        return Prepared(folder=str(folder), digest=f"sha256:{image}", rank=4)

    def folder_of(self, image: str, strength: float = 1.0) -> str:
        return str(self.folder / "ready" / f"{image}-{strength}")

    async def want(self, *adapters: tuple[str, str, float]) -> None:
        """Write a list of names, images and strengths, and have it looked at once."""
        listed = [{"name": name, "image": image, "strength": strength} for name, image, strength in adapters]
        self.file.write_text(json.dumps({"base": "b", "adapters": listed}))
        await self.keeper.look()

    async def done(self, *adapters: tuple[str, str, float]) -> None:
        """The same, and wait until nothing is under way."""
        await self.want(*adapters)
        await self.look_until(lambda: self.keeper.settled.is_set())

    async def look_until(self, found: Callable[[], bool]) -> None:
        async with asyncio.timeout(10):
            while not found():
                await self.keeper.look()
                await asyncio.sleep(0)

    def told(self) -> dict[object, tuple[object, object]]:
        return {one["name"]: (one["state"], one["reason"]) for one in self.keeper.states()}


@pytest.fixture
def pod(tmp_path: Path) -> Pod:
    return Pod(tmp_path)


async def test_adapters_come_change_and_go(pod: Pod) -> None:
    await pod.done(("a", "x", 1.0), ("b", "y", 1.0))
    assert pod.engine.served == {"a": pod.folder_of("x"), "b": pod.folder_of("y")}
    await pod.done(("a", "x", 0.5))
    assert pod.engine.served == {"a": pod.folder_of("x", 0.5)}
    assert pod.told() == {"a": ("ready", "")}
    await pod.done()
    assert pod.engine.served == {}


async def test_a_bad_one_harms_nobody_and_is_tried_again_later_and_later(pod: Pod) -> None:
    await pod.done(("a", "x", 1.0), ("b", "bad", 1.0))
    assert pod.told() == {"a": ("ready", ""), "b": ("failed", "It is bad.")}
    times = []
    for second in range(200):
        before, pod.now = pod.prepared, float(second)
        await pod.keeper.look()
        await pod.look_until(pod.keeper.settled.is_set)
        times += [second] if pod.prepared > before else []
    assert times == [15, 45, 105]
    assert pod.engine.served == {"a": pod.folder_of("x")}


async def test_what_is_changed_while_it_is_fetched_is_ended_and_only_the_new_one_is_loaded(pod: Pod) -> None:
    pod.held["slow"] = asyncio.Event()
    await pod.want(("a", "slow", 1.0))
    await asyncio.sleep(0)
    assert not pod.keeper.settled.is_set()
    await pod.done(("a", "x", 1.0))
    assert pod.cancelled == ["slow"]
    assert pod.engine.served == {"a": pod.folder_of("x")}


async def test_what_is_taken_away_while_it_is_fetched_is_never_loaded(pod: Pod) -> None:
    pod.held["slow"] = asyncio.Event()
    await pod.want(("a", "slow", 1.0))
    await asyncio.sleep(0)
    await pod.done()
    assert (pod.cancelled, pod.engine.served) == (["slow"], {})


async def test_a_slow_one_does_not_hold_up_another(pod: Pod) -> None:
    pod.held["slow"] = asyncio.Event()
    await pod.want(("a", "slow", 1.0), ("b", "x", 1.0))
    await pod.look_until(lambda: "b" in pod.engine.served)
    assert pod.told()["a"] == ("loading", "")
    pod.held["slow"].set()
    await pod.look_until(lambda: "a" in pod.engine.served)


async def test_while_and_after_a_change_fails_the_one_before_is_served(pod: Pod) -> None:
    await pod.done(("a", "x", 1.0))
    pod.engine.refused.add("a")
    await pod.done(("a", "y", 1.0))
    assert pod.engine.served == {"a": pod.folder_of("x")}
    assert pod.told()["a"] == ("failed", "The engine refuses it. What was loaded before is still served.")
    pod.engine.refused.clear()
    await pod.done(("a", "x", 1.0))
    assert pod.told()["a"] == ("ready", "")


async def test_files_stay_for_a_while_after_the_last_request_could_come(pod: Pod) -> None:
    await pod.done(("a", "x", 1.0))
    await pod.done(("a", "x", 0.5))
    old = Path(pod.folder_of("x"))
    pod.now = KEEP_S - 1
    await pod.keeper.look()
    assert old.is_dir()
    pod.now = KEEP_S
    await pod.keeper.look()
    assert not old.exists()
    assert Path(pod.folder_of("x", 0.5)).is_dir()


async def test_one_that_comes_back_keeps_its_files(pod: Pod) -> None:
    for strength in (1.0, 0.5, 1.0):
        await pod.done(("a", "x", strength))
    pod.now = KEEP_S
    await pod.keeper.look()
    assert Path(pod.folder_of("x")).is_dir()
    assert not Path(pod.folder_of("x", 0.5)).exists()


@pytest.mark.parametrize(
    "spoil",
    [Path.unlink, lambda file: file.write_text("{"), lambda file: file.write_text('{"adapters": [{"name": "../a"}]}'),
     lambda file: file.write_text(" " * 2**21)],
)  # fmt: skip
async def test_without_a_list_that_can_be_read_all_stays(pod: Pod, spoil: Callable[[Path], object]) -> None:
    await pod.done(("a", "x", 1.0))
    revision = pod.keeper.revision
    spoil(pod.file)
    await pod.keeper.look()
    assert pod.engine.served == {"a": pod.folder_of("x")}
    assert pod.keeper.revision == revision


async def test_when_it_ends_nothing_goes_on(pod: Pod) -> None:
    pod.held["slow"] = asyncio.Event()
    pod.file.write_text(json.dumps({"adapters": [{"name": "a", "image": "slow"}]}))
    running = asyncio.create_task(pod.keeper.run())
    async with asyncio.timeout(10):
        while not pod.prepared:
            await asyncio.sleep(0)
    running.cancel()
    await _ended(running)
    assert pod.cancelled == ["slow"]


async def _ended(task: Awaitable[None]) -> None:
    with pytest.raises(asyncio.CancelledError):
        await task

"""When a server measures itself: not before it is idle or asked, never beside somebody, once for each wish."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from services.inference.benchmark.cache import Cache
from services.inference.benchmark.job import BenchmarkError
from services.inference.benchmark.keeper import Benchmark
from services.inference.benchmark.result import Result
from services.inference.benchmark.when import IDLE_S, LONGEST_S, NOW_S, Moment, State, begins, message_of, state_of
from services.inference.benchmark.wish import Kind, Wish, read_wish
from services.inference.door import Door
from tests.unit.test_benchmark_result import KEY, result


class Pod:
    """A server with a clock, whose measuring takes until a test ends it. `begin` is a start of it."""

    def __init__(self, folder: Path) -> None:
        self.cache = Cache(folder, KEY)
        self.now = 0.0
        self.wish = "idle"
        self.measured = self.cancelled = 0
        self.fault = ""
        self.begin()

    def begin(self) -> None:
        self.go = asyncio.Event()
        self.door = Door(4, lambda: self.now)
        self.benchmark = Benchmark(lambda: self.wish, self.measure, self.cache, self.door)
        self.door.somebody_came = self.benchmark.break_off

    async def measure(self) -> Result:
        self.measured += 1
        try:
            await self.go.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if self.fault:
            raise BenchmarkError(self.fault)
        return result()

    async def look(self, wish: str | None = None, after: float = 0.0) -> State:
        self.wish = self.wish if wish is None else wish
        self.now += after
        await self.benchmark.look()
        await asyncio.sleep(0)
        return self.benchmark.state

    async def finish(self) -> None:
        """Let what is measured come to its end, and be kept."""
        task = self.benchmark._task
        assert task is not None
        self.go.set()
        await asyncio.wait_for(task, 10)
        self.go.clear()

    async def restart(self) -> State:
        self.begin()
        await self.benchmark.remember()
        return await self.look()

    def request(self) -> None:
        self.door.enter()
        self.door.leave()


async def until(found: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not found():
            await asyncio.sleep(0)


@pytest.fixture
async def pod(tmp_path: Path) -> Pod:
    return Pod(tmp_path)


async def test_unasked_it_is_measured_once_nobody_has_been_there_for_a_minute(pod: Pod) -> None:
    assert await pod.look() is State.WAITING
    assert await pod.look(after=IDLE_S - 1) is State.WAITING
    pod.request()
    assert await pod.look(after=IDLE_S - 1) is State.WAITING
    assert await pod.look(after=1) is State.RUNNING
    await pod.finish()
    assert (pod.benchmark.state, pod.measured) == (State.DONE, 1)
    assert await pod.look(after=10 * IDLE_S) is State.DONE
    assert pod.measured == 1


async def test_nobody_is_beside_it_however_long_a_request_takes(pod: Pod) -> None:
    await pod.look("now")
    pod.door.enter()
    assert await pod.look(after=1000) is State.WAITING
    pod.door.leave()
    assert await pod.look(after=NOW_S) is State.RUNNING


async def test_whoever_comes_ends_it_at_once_and_it_waits_twice_as_long(pod: Pod) -> None:
    assert await pod.look(after=IDLE_S) is State.RUNNING
    for broken in range(1, 7):
        pod.door.enter()
        assert pod.benchmark.state is State.WAITING
        await until(lambda broken=broken: pod.cancelled == broken)  # type: ignore[misc]
        pod.door.leave()
        needed = min(IDLE_S * 2**broken, LONGEST_S)
        assert f"for {needed:.0f} s" in str(pod.benchmark.told()["message"])
        assert await pod.look(after=needed - 1) is State.WAITING
        assert await pod.look(after=1) is State.RUNNING
    await pod.finish()
    assert pod.benchmark.state is State.DONE


def test_also_where_it_was_asked_for_it_gives_way_ever_longer_to_a_server_that_is_used_now_and_then() -> None:
    waits = [Moment(Wish(Kind.NOW, "now"), broken=broken).needed_s for broken in range(12)]
    assert waits == [min(NOW_S * 2**broken, LONGEST_S) for broken in range(12)]
    assert waits[-1] == LONGEST_S
    assert Moment(Wish(Kind.IDLE, "idle"), idle_s=2 * LONGEST_S, broken=10_000).needed_s == 2 * LONGEST_S


async def test_now_does_not_wait_for_a_minute_and_the_same_word_is_measured_once(pod: Pod) -> None:
    assert await pod.look("now", after=NOW_S) is State.RUNNING
    await pod.finish()
    assert await pod.look(after=1000) is State.DONE
    assert await pod.look("now-2") is State.RUNNING
    assert pod.benchmark.told()["result"] is not None  # the figures of before are there meanwhile
    await pod.finish()
    assert pod.measured == 2


async def test_now_again_after_another_wish_is_measured_again(pod: Pod) -> None:
    await pod.look("now", after=NOW_S)
    await pod.finish()
    for other in ("idle", "off"):
        assert await pod.look(other) is State.DONE
        assert await pod.look("now") is State.RUNNING
        await pod.finish()
    assert pod.measured == 3


async def test_a_restart_takes_up_what_was_measured(pod: Pod) -> None:
    await pod.look("now", after=NOW_S)
    await pod.finish()
    await pod.look()
    assert await pod.restart() is State.DONE
    pod.wish = "idle"
    assert await pod.restart() is State.DONE
    assert await pod.look(after=10 * IDLE_S) is State.DONE
    assert pod.measured == 1
    pod.wish = "now-2"
    assert await pod.restart() is State.WAITING
    assert await pod.look(after=NOW_S) is State.RUNNING


async def test_off_ends_it_and_nothing_begins(pod: Pod) -> None:
    await pod.look("now", after=NOW_S)
    assert await pod.look("off") is State.OFF
    await until(lambda: pod.cancelled == 1)
    assert await pod.look(after=10 * IDLE_S) is State.OFF
    assert "says off" in str(pod.benchmark.told()["message"])


async def test_nothing_is_measured_before_anybody_says_so(pod: Pod) -> None:
    assert await pod.look("", after=10 * IDLE_S) is State.OFF
    assert "has not been told yet" in str(pod.benchmark.told()["message"])
    assert await pod.look("idle") is State.RUNNING


async def test_a_fault_is_told_and_not_tried_again_unasked(pod: Pod) -> None:
    pod.fault = "it answers 500: no."
    await pod.look(after=IDLE_S)
    await pod.finish()
    assert await pod.look(after=10 * IDLE_S) is State.FAILED
    assert "it answers 500: no." in str(pod.benchmark.told()["message"])
    assert pod.measured == 1
    pod.fault = ""
    assert await pod.look("now") is State.RUNNING
    await pod.finish()
    assert pod.benchmark.state is State.DONE


async def test_a_server_that_ends_is_not_measured(pod: Pod) -> None:
    await pod.look("now", after=NOW_S)
    pod.door.end()
    await until(lambda: pod.cancelled == 1)
    assert await pod.look(after=1000) is State.WAITING


async def test_what_cannot_be_looked_at_is_tried_again_told_once_and_ends_no_server(
    pod: Pod, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("services.inference.benchmark.keeper.POLL_S", 0.0)
    looked: list[str] = []

    def broken() -> str:
        looked.append("")
        raise OSError("the disk is gone")

    benchmark = Benchmark(broken, pod.measure, pod.cache, pod.door)
    task = asyncio.create_task(benchmark.run())
    await until(lambda: len(looked) > 3)
    assert not task.done()
    assert caplog.text.count("could not be looked at") == 1
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert pod.door.somebody_came is None


@pytest.mark.parametrize(
    ("text", "kind"),
    [("", Kind.OFF), ("idle", Kind.IDLE), (" off\n", Kind.OFF), ("now", Kind.NOW), ("now-2026.11_x", Kind.NOW),
     ("NOW", Kind.OFF), ("now-", Kind.OFF), ("later", Kind.OFF), ("now-a b", Kind.OFF)],
)  # fmt: skip
def test_a_wish_that_cannot_be_read_asks_for_no_load(text: str, kind: Kind) -> None:
    assert read_wish(text).kind is kind


class Life(RuleBasedStateMachine):
    """Any wishes, requests, pauses and ends of measuring, in any order, decided as the keeper does."""

    def __init__(self) -> None:
        super().__init__()
        self.moment = Moment(Wish(Kind.OFF, "off"))
        self.inside = 0

    def change(self, **changed: object) -> None:
        self.moment = Moment(**{**vars(self.moment), **changed})

    @rule(text=st.sampled_from(["idle", "off", "now", "now-2"]))
    def wish(self, text: str) -> None:
        self.change(wish=read_wish(text), running=self.moment.running and text != "off")

    @rule(seconds=st.floats(0, 2000))
    def pass_time(self, seconds: float) -> None:
        self.change(quiet_s=0.0 if self.inside else self.moment.quiet_s + seconds)
        if begins(self.moment):
            assert self.inside == 0
            self.change(running=True)

    @rule()
    def enter(self) -> None:
        self.inside += 1
        self.change(quiet_s=0.0, running=False, broken=self.moment.broken + self.moment.running)

    @precondition(lambda self: self.inside)
    @rule()
    def leave(self) -> None:
        self.inside -= 1

    @precondition(lambda self: self.moment.running)
    @rule(fails=st.booleans())
    def end(self, fails: bool) -> None:
        text = self.moment.wish.text
        self.change(running=False, **({"failed": text} if fails else {"answered": text}))

    @invariant()
    def nobody_is_behind_it(self) -> None:
        assert not (self.moment.running and self.inside)

    @invariant()
    def it_is_told_in_words_and_off_means_off(self) -> None:
        state = state_of(self.moment)
        assert message_of(self.moment, "It broke.").endswith(".")
        assert (state is State.RUNNING) == self.moment.running
        if self.moment.wish.kind is Kind.OFF:
            assert state in (State.OFF, State.DONE)
        assert not (begins(self.moment) and state is not State.WAITING)


TestLife = Life.TestCase
TestLife.settings = settings(max_examples=60, suppress_health_check=list(HealthCheck))

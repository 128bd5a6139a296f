"""What is remembered of the hub's models, for how long, and that nobody who asks is kept waiting."""

from __future__ import annotations

import asyncio

import pytest
from pydantic import SecretStr

from services.contracts.conditions import Reason
from services.scheduler.facts import ModelFacts
from services.scheduler.hub import book as hub_book
from services.scheduler.hub.ask import Ask
from services.scheduler.hub.book import MODELS_AT_ONCE, NEWEST_FOR, FactsBook, pause
from services.scheduler.hub.client import HubClient
from services.scheduler.hub.errors import HubError, unavailable, unusable
from services.scheduler.hub.fetch import Fetched
from services.scheduler.refusal import Refusal
from tests.hub.models import COMMIT

FACTS = ModelFacts(
    id="acme/small-1b", revision=COMMIT, license="mit", weights_gib=2.3, disk_gib=83, context=4096,
    architecture="LlamaForCausalLM", layers=16, heads=32, kv_heads=8, head_dim=64,
)  # fmt: skip
ASK = Ask("acme/small-1b")
GONE = unavailable("https://hub.example", "no route to it")


class Setting:
    """A book whose hub is a function, and whose clock stands still until it is moved."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        self.asked: list[tuple[str, str | None, SecretStr | None]] = []
        self.answers: list[ModelFacts | Exception] = []
        self.running = 0
        self.most = 0
        self.go_on = asyncio.Event()
        self.go_on.set()
        monkeypatch.setattr(hub_book, "fetch", self._fetch)
        self.book = FactsBook(HubClient("https://hub.example"), self, self._read, lambda: self.now)

    async def read(self, namespace: str, secret: str) -> SecretStr:
        if secret == "none":
            raise HubError(Reason.SECRET_NOT_FOUND, f"Secret {secret} is not in namespace {namespace}.")
        return SecretStr(f"token of {namespace}/{secret}")

    async def _fetch(self, _: HubClient, model: str, revision: str | None, token: SecretStr | None) -> object:
        self.asked.append((model, revision, token))
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            await self.go_on.wait()
        finally:
            self.running -= 1
        return self.answers.pop(0) if self.answers else FACTS

    def _read(self, fetched: Fetched | ModelFacts | Exception) -> ModelFacts:
        if isinstance(fetched, Exception):
            raise fetched
        assert isinstance(fetched, ModelFacts)
        return fetched

    async def settled(self, ask: Ask = ASK) -> ModelFacts | Refusal:
        """What is known once nothing is being read any more."""
        self.book.look(ask)
        while self.book.reading:
            await asyncio.sleep(0)
        return self.book.look(ask)


@pytest.fixture
def setting(monkeypatch: pytest.MonkeyPatch) -> Setting:
    return Setting(monkeypatch)


def refusal(found: ModelFacts | Refusal) -> Refusal:
    assert isinstance(found, Refusal)
    return found


async def test_who_asks_first_is_told_that_it_is_being_read(setting: Setting) -> None:
    found = refusal(setting.book.look(ASK))
    assert found.reason is Reason.MODEL_FACTS_PENDING
    assert "https://hub.example" in found.message
    assert (found.waits, found.again) == (True, 0.5)


async def test_it_is_read_once_however_many_ask(setting: Setting) -> None:
    for _ in range(5):
        setting.book.look(ASK)
    assert await setting.settled() == FACTS
    assert len(setting.asked) == 1


async def test_a_commit_is_remembered_for_ever_and_a_branch_for_a_while(setting: Setting) -> None:
    await setting.settled()
    setting.now += NEWEST_FOR + 1
    assert setting.book.look(ASK._replace(revision=COMMIT)) == FACTS
    assert refusal(setting.book.look(ASK)).reason is Reason.MODEL_FACTS_PENDING


async def test_what_a_token_opens_is_not_told_to_others(setting: Setting) -> None:
    await setting.settled(ASK._replace(namespace="a", secret="s"))
    for other in (ASK, ASK._replace(namespace="b", secret="s"), ASK._replace(namespace="a", secret="t")):
        assert refusal(setting.book.look(other)).reason is Reason.MODEL_FACTS_PENDING
    assert await setting.settled(ASK._replace(namespace="b")) == FACTS
    assert setting.book.look(ASK) == FACTS, "without a secret it does not matter in which namespace one is"


async def test_a_secret_that_is_not_there_is_told_and_the_hub_is_not_asked(setting: Setting) -> None:
    found = refusal(await setting.settled(ASK._replace(namespace="a", secret="none")))
    assert found.reason is Reason.SECRET_NOT_FOUND
    assert setting.asked == []


async def test_a_failure_is_remembered_briefly_and_then_the_hub_is_asked_again(setting: Setting) -> None:
    setting.answers = [GONE]
    assert refusal(await setting.settled()).message == GONE.message
    assert len(setting.asked) == 1
    setting.now += 5
    assert refusal(setting.book.look(ASK)).message == GONE.message, "it stands until something else is known"
    assert await setting.settled() == FACTS


async def test_a_hub_that_wants_to_be_left_alone_is(setting: Setting) -> None:
    setting.answers = [unavailable("https://hub.example", "busy", 120.0)]
    assert refusal(await setting.settled()).again == 120
    setting.now += 119
    setting.book.look(ASK)
    assert len(setting.asked) == 1


def test_pauses_grow_with_each_failure_in_a_row() -> None:
    assert [pause(GONE, n) for n in (1, 2, 3, 100)] == [5, 10, 20, 300]
    assert [pause(unusable("no weights"), n) for n in (1, 2, 100)] == [30, 60, 300]


async def test_a_fault_of_our_own_is_told_in_words(setting: Setting) -> None:
    setting.answers = [ZeroDivisionError("secret detail")]
    found = refusal(await setting.settled())
    assert found.reason is Reason.HUB_UNAVAILABLE
    assert "fault of this program" in found.message
    assert "secret detail" not in found.message


async def test_a_few_models_are_read_at_a_time(setting: Setting) -> None:
    setting.go_on.clear()
    for n in range(20):
        setting.book.look(Ask(f"acme/m{n}"))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    setting.go_on.set()
    await setting.settled()
    assert setting.most == MODELS_AT_ONCE
    assert len(setting.asked) == 21


async def test_what_waits_and_what_is_remembered_is_bounded(setting: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub_book, "MOST_WAITING", 3)
    monkeypatch.setattr(hub_book, "MOST_REMEMBERED", 4)
    for n in range(10):
        assert refusal(setting.book.look(Ask(f"acme/m{n}"))).reason is Reason.MODEL_FACTS_PENDING
    assert setting.book.reading == 3
    await setting.settled(Ask("acme/m0"))
    assert len(setting.asked) == 3
    assert setting.book.remembered == 4


async def test_closing_gives_up_what_is_being_read(setting: Setting) -> None:
    setting.go_on.clear()
    setting.book.look(ASK)
    await asyncio.sleep(0)
    await setting.book.close()
    assert setting.book.reading == 0
    assert setting.running == 0

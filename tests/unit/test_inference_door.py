"""The queue is bounded, the key is asked for, and a server that ends lets running requests finish."""

import asyncio
import json
from collections.abc import MutableMapping
from types import SimpleNamespace
from typing import Any

import pytest

from services.inference.cards import Cards, about_model, with_about
from services.inference.door import GENERATES, OPEN, Door, generates, limit_of
from services.inference.drain import Drain
from services.inference.gate import STATE, App, Gate, Receive, Scope, Send, entrance

COMPLETIONS = "/v1/completions"
Message = MutableMapping[str, Any]


class Model:
    """An app whose answers come when they are let go."""

    def __init__(self) -> None:
        self.go = asyncio.Event()
        self.asked: list[str] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.asked.append(scope["path"])
        if scope["path"] in GENERATES:
            await self.go.wait()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"answer"})


class Server:
    """A middleware before an app, and the state that vLLM's app would have."""

    def __init__(self, app: Gate | Cards, **state: object) -> None:
        self.app = app
        self.state = SimpleNamespace(**state)


def gate(model: App, door: Door, *keys: str) -> Server:
    return Server(Gate(model), **{STATE: entrance(door, keys)})


async def ask(server: Server, method: str, path: str, **headers: str) -> tuple[int, dict[str, str], bytes]:
    said: list[Message] = []

    async def send(message: Message) -> None:
        said.append(message)

    async def receive() -> Message:
        return {"type": "http.request", "body": b""}

    raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    await server.app({"type": "http", "app": server, "method": method, "path": path, "headers": raw}, receive, send)
    start, body = said
    return start["status"], {k.decode(): v.decode() for k, v in start["headers"]}, body["body"]


async def running(app: Server, count: int) -> list[asyncio.Task[tuple[int, dict[str, str], bytes]]]:
    tasks = [asyncio.create_task(ask(app, "POST", COMPLETIONS)) for _ in range(count)]
    await asyncio.sleep(0)
    return tasks


async def test_a_full_queue_is_429_with_the_time_to_come_back() -> None:
    model, door = Model(), Door(2)
    app = gate(model, door)
    tasks = await running(app, 2)
    status, headers, body = await ask(app, "POST", "/chat")
    assert (status, headers["retry-after"]) == (429, "5")
    assert "2 requests are in this server, and 2 may be" in json.loads(body)["error"]["message"]
    assert (await ask(app, "GET", "/v1/models"))[0] == 200  # only what gives the engine work is counted
    model.go.set()
    assert [status for status, _, _ in await asyncio.gather(*tasks)] == [200, 200]
    assert (await ask(app, "POST", "/chat"))[0] == 200


async def test_a_request_that_breaks_leaves_its_place() -> None:
    door = Door(1)

    async def broken(scope: Scope, receive: Receive, send: Send) -> None:
        raise RuntimeError("the client has gone")

    with pytest.raises(RuntimeError):
        await ask(gate(broken, door), "POST", COMPLETIONS)
    assert (door.inside, door.empty.is_set()) == (0, True)


async def test_a_server_that_ends_refuses_the_new_and_finishes_the_running() -> None:
    model, door, closed = Model(), Door(9), asyncio.Event()
    app = gate(model, door)
    (task,) = await running(app, 1)
    drain = Drain(door, 60, closed.set)
    drain.begin()
    assert drain.told
    for method, path in (("POST", COMPLETIONS), ("GET", "/v1/models"), ("GET", "/health")):
        status, headers, body = await ask(app, method, path)
        assert (status, headers["connection"], headers["retry-after"]) == (503, "close", "10")
        assert "1 requests are still answered" in json.loads(body)["error"]["message"]
    assert (await ask(app, "GET", "/metrics"))[0] == 200
    assert not closed.is_set()
    model.go.set()
    assert (await task)[0] == 200
    await asyncio.wait_for(closed.wait(), 5)


async def test_the_servers_own_requests_are_not_counted_and_go_before_others() -> None:
    model, door = Model(), Door(1)
    app, called = gate(model, door, "key"), asyncio.Event()
    door.somebody_came = called.set
    own = {"authorization": "Bearer key", "x_kaitobus_benchmark": door.mark}
    assert (await ask(app, "POST", COMPLETIONS, x_kaitobus_benchmark=door.mark))[0] == 401  # the key is asked for
    tasks = [asyncio.create_task(ask(app, "POST", COMPLETIONS, **own)) for _ in range(3)]
    await asyncio.sleep(0)
    assert (len(model.asked), door.inside, called.is_set()) == (3, 0, False)
    somebody = asyncio.create_task(ask(app, "POST", COMPLETIONS, authorization="Bearer key"))
    await asyncio.sleep(0)
    assert (door.inside, called.is_set()) == (1, True)
    assert (await ask(app, "POST", COMPLETIONS, **own))[0] == 503
    stranger = {"authorization": "Bearer key", "x_kaitobus_benchmark": "guessed"}
    assert (await ask(app, "POST", COMPLETIONS, **stranger))[0] == 429  # a mark that is not ours is nothing
    model.go.set()
    assert [status for status, _, _ in await asyncio.gather(*tasks, somebody)] == [200] * 4


def test_a_server_is_quiet_since_the_last_one_left() -> None:
    now = 10.0
    door = Door(9, lambda: now)
    now = 15.0
    assert door.quiet_s() == 5
    door.enter()
    door.enter()
    door.leave()
    assert door.quiet_s() == 0
    now = 20.0
    door.leave()
    now = 27.0
    assert door.quiet_s() == 7
    door.end()
    assert door.quiet_s() == 0


async def test_who_takes_longer_than_the_grace_is_cut_off() -> None:
    door, closed = Door(9), asyncio.Event()
    door.enter()
    Drain(door, 0.01, closed.set).begin()
    await asyncio.wait_for(closed.wait(), 5)


async def test_a_second_signal_cuts_the_waiting_short() -> None:
    door, closed = Door(9), asyncio.Event()
    door.enter()
    drain = Drain(door, 3600, closed.set)
    drain.begin()
    drain.begin()
    await asyncio.wait_for(closed.wait(), 5)


@pytest.mark.parametrize("path", [COMPLETIONS, "/chat", "/tokenize", "/v1/models", "/v1/load_lora_adapter", "/docs"])
async def test_all_but_probes_and_figures_want_the_key(path: str) -> None:
    model = Model()
    model.go.set()
    app = gate(model, Door(9), "right", "second")
    for headers in ({}, {"authorization": "Bearer wrong"}, {"authorization": "right"}, {"authorization": "Bearer "}):
        status, _, body = await ask(app, "POST", path, **headers)
        assert status == 401
        assert "right" not in body.decode()
    assert model.asked == []
    for key in ("right", "second"):
        assert (await ask(app, "POST", path, authorization=f"Bearer {key}"))[0] == 200


@pytest.mark.parametrize("path", sorted(OPEN))
async def test_probes_and_figures_are_open(path: str) -> None:
    assert (await ask(gate(Model(), Door(9), "key"), "GET", path))[0] == 200
    assert (await ask(gate(Model(), Door(9), "key"), "POST", path))[0] == 401
    assert (await ask(gate(Model(), Door(9), "key"), "OPTIONS", "/v1/models"))[0] == 200


async def test_the_key_may_come_in_a_header_that_passes_through_the_api_server() -> None:
    seen: list[tuple[bytes, bytes]] = []

    async def inner(scope: Scope, receive: Receive, send: Send) -> None:
        seen.extend(scope["headers"])
        await Model()(scope, receive, send)

    app = gate(inner, Door(9), "right")
    assert (await ask(app, "GET", "/v1/models", x_api_key="right"))[0] == 200
    assert (b"authorization", b"Bearer right") in seen  # for vLLM's own check
    assert (await ask(app, "GET", "/v1/models", x_api_key="wrong"))[0] == 401


async def test_without_a_key_everybody_may_ask() -> None:
    assert (await ask(gate(Model(), Door(9)), "GET", "/v1/models"))[0] == 200


def test_by_default_as_many_may_wait_as_run() -> None:
    assert limit_of(None, 256) == limit_of("", 256) == 512
    assert limit_of("7", 256) == 7


@pytest.mark.parametrize("text", ["0", "-1", "many", "1.5"])
def test_a_limit_that_is_no_number_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="KAITOBUS_MAX_REQUESTS"):
        limit_of(text, 256)


def test_only_posts_to_known_paths_are_work() -> None:
    assert generates("POST", "/chat")
    assert not generates("GET", "/chat")
    assert not generates("POST", "/tokenize")


async def test_a_models_card_tells_what_it_is() -> None:
    async def models(scope: Scope, receive: Receive, send: Send) -> None:
        body = json.dumps({"object": "list", "data": [{"id": "m", "root": "r"}]}).encode()
        headers = [(b"content-length", str(len(body)).encode()), (b"x-other", b"1")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body[:10], "more_body": True})
        await send({"type": "http.response.body", "body": body[10:]})

    about = about_model("main", {"KAITOBUS_WORKSPACE": "ns/name", "KAITOBUS_MODEL": "", "VLLM_API_KEY": "secret"})
    _, headers, body = await ask(Server(Cards(models), kaitobus_about=about), "GET", "/v1/models")
    assert json.loads(body)["data"] == [
        {"id": "m", "root": "r", "kaitobus": {"revision": "main", "workspace": "ns/name"}}
    ]
    assert headers == {"x-other": "1", "content-length": str(len(body))}


@pytest.mark.parametrize("body", [b"", b"no json", b'{"error": 1}', b"[]", b'{"data": 1}', b'{"data": [1]}'])
def test_an_answer_of_another_shape_passes_as_it_is(body: bytes) -> None:
    assert with_about(body, {"revision": "r"}) == body

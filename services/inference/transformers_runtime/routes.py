"""The routes: OpenAI's models, chat and completions, KAITO's old `/chat`, health, metrics and memory."""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from typing import NamedTuple, TypeVar

from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse
from openai.types import CompletionUsage
from pydantic import BaseModel, ValidationError

from services.inference.chat import ChatBody, explain
from services.inference.gate import STATE, Entrance, Gate
from services.inference.generate_kwargs import GenerateKwargs, request_fields
from services.inference.transformers_runtime import answers
from services.inference.transformers_runtime.generation import Generation, GenerationFailed, Generator
from services.inference.transformers_runtime.metrics import Metrics
from services.inference.transformers_runtime.model import BadRequest, Loaded
from services.inference.transformers_runtime.requests import ChatRequest, CompletionRequest, Sampling, faults

T = TypeVar("T", bound=BaseModel)
Handler = Callable[[object, Request], Awaitable[Response]]


class Served(NamedTuple):
    """The model under its name, and who runs it."""

    name: str
    loaded: Loaded
    generator: Generator
    metrics: Metrics

    def begin(self, tokens: list[int], sampling: Sampling) -> Generation:
        """Put a request into the line. Raises BadRequest."""
        most = self.loaded.room(len(tokens), sampling.max_tokens)
        generation = Generation(tokens, sampling, most, self.loaded.ends(sampling))
        self.generator.start(generation)
        return generation


def build_app(served: Served, entrance: Entrance) -> FastAPI:
    """The server's application, behind the same gate as vLLM's."""
    app = FastAPI(title="kaitobus-transformers")
    app.add_middleware(Gate)
    setattr(app.state, STATE, entrance)
    app.include_router(_figures(served))
    app.include_router(_routes(served))
    for status, words in {404: "There is no such route.", 405: "The route does not take this method."}.items():
        app.add_exception_handler(status, _refusing(status, words))
    app.add_exception_handler(Exception, _refusing(500, "The server failed; its log says why."))
    return app


def _figures(served: Served) -> APIRouter:
    """Whether it serves, and what that takes."""
    router = APIRouter()
    memory = {"weights_gib": served.loaded.weights_gib()}
    router.add_api_route("/health", lambda: Response(), methods=["GET"])
    router.add_api_route("/kaitobus/memory", lambda: memory, methods=["GET"])
    router.add_api_route(
        "/metrics", lambda: Response(served.metrics.text(), media_type="text/plain; version=0.0.4"), methods=["GET"]
    )
    return router


def _routes(served: Served) -> APIRouter:
    created = int(time.time())

    async def models(_body: object, _request: Request) -> Response:
        return JSONResponse(answers.models(served.name, created, served.loaded.longest))

    router = APIRouter()
    posted = (("/v1/chat/completions", _chat), ("/v1/completions", _completions), ("/chat", _old_chat))
    for path, handler in posted:
        router.add_api_route(path, _plainly(partial(handler, served)), methods=["POST"])
    router.add_api_route("/v1/models", _plainly(models, reads=False), methods=["GET"])
    return router


async def _chat(served: Served, body: object, request: Request) -> Response:
    asked = _read(ChatRequest, body)
    if wrong := _other_model(asked.model, served.name):
        return wrong
    tokens = await asyncio.to_thread(served.loaded.of_conversation, asked.conversation())
    generation = served.begin(tokens, asked.sampling)
    head = answers.Head(f"chatcmpl-{secrets.token_hex(12)}", int(time.time()), served.name)
    if asked.stream:
        return _stream(_chat_events(generation, head, tells_usage=asked.tells_usage))
    text = await _whole(generation, request)
    return JSONResponse(answers.chat(head, text, generation.finish, _usage(generation)))


async def _completions(served: Served, body: object, request: Request) -> Response:
    asked = _read(CompletionRequest, body)
    if wrong := _other_model(asked.model, served.name):
        return wrong
    prompt = asked.prompt
    tokens = (
        await asyncio.to_thread(served.loaded.of_text, prompt)
        if isinstance(prompt, str)
        else served.loaded.checked(prompt)
    )
    generation = served.begin(tokens, asked.sampling)
    head = answers.Head(f"cmpl-{secrets.token_hex(12)}", int(time.time()), served.name)
    if asked.stream:
        return _stream(_completion_events(generation, head, tells_usage=asked.tells_usage))
    text = await _whole(generation, request)
    return JSONResponse(answers.completion(head, text, generation.finish, _usage(generation)))


async def _old_chat(served: Served, body: object, request: Request) -> Response:
    """KAITO's route. A base model, which has no chat template, goes on with the prompt."""
    try:
        asked = ChatBody.model_validate(body)
        sampling = Sampling.model_validate(request_fields(asked.generate_kwargs or GenerateKwargs()))
    except ValidationError as error:
        raise BadRequest(explain(error)) from error
    loaded = served.loaded
    if loaded.tokenizer.chat_template or asked.messages is not None:
        tokens = await asyncio.to_thread(loaded.of_conversation, asked.conversation())
    else:
        tokens = await asyncio.to_thread(loaded.of_text, asked.text)
    return JSONResponse(asked.result(await _whole(served.begin(tokens, sampling), request)))


def _plainly(handler: Handler, *, reads: bool = True) -> Callable[[Request], object]:
    """The handler, with its refusals in OpenAI's shape."""

    async def answer(request: Request) -> Response:
        try:
            return await handler(await _json(request) if reads else None, request)
        except BadRequest as error:
            return refusal(400, str(error))
        except GenerationFailed as error:
            return refusal(500, f"The answer could not be made: {error}")

    return answer


def _refusing(status: int, words: str) -> Callable[[Request, Exception], Awaitable[Response]]:
    async def answer(_request: Request, _error: Exception) -> Response:
        return refusal(status, words)

    return answer


def refusal(status: int, message: str) -> JSONResponse:
    """An error in OpenAI's shape."""
    return JSONResponse(answers.error(status, message), status)


async def _json(request: Request) -> object:
    try:
        found: object = await request.json()
    except ValueError as error:
        raise BadRequest("The body is not JSON.") from error
    return found


def _read(kind: type[T], body: object) -> T:
    try:
        return kind.model_validate(body)
    except ValidationError as error:
        raise BadRequest(faults(error)) from error


def _other_model(asked: str | None, name: str) -> JSONResponse | None:
    if asked in (None, name):
        return None
    return refusal(404, f"The model {asked[:100] if asked else ''!r} is not served here; {name!r} is.")


def _usage(generation: Generation) -> CompletionUsage:
    return answers.usage(len(generation.prompt), generation.produced)


async def _whole(generation: Generation, request: Request) -> str:
    """All the text at once; given up when the client goes away."""
    watch = asyncio.create_task(_until_gone(request, generation))
    try:
        return "".join([piece async for piece in generation.pieces()])
    finally:
        generation.give_up()
        watch.cancel()


async def _until_gone(request: Request, generation: Generation) -> None:
    """The body is read, so the next thing that is heard of the client is that it left."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
    generation.give_up()


def _stream(events: AsyncIterator[str]) -> StreamingResponse:
    return StreamingResponse(events, media_type="text/event-stream", headers={"Cache-Control": "no-cache"})


async def _chat_events(generation: Generation, head: answers.Head, *, tells_usage: bool) -> AsyncIterator[str]:
    yield answers.chat_chunk(head, None, first=True)
    async for piece in _safely(generation, lambda text: answers.chat_chunk(head, text)):
        yield piece
    if not generation.failed:
        yield answers.chat_chunk(head, None, generation.finish)
        if tells_usage:
            yield answers.chat_usage(head, _usage(generation))
    yield answers.END


async def _completion_events(generation: Generation, head: answers.Head, *, tells_usage: bool) -> AsyncIterator[str]:
    async for piece in _safely(generation, lambda text: answers.completion_chunk(head, text)):
        yield piece
    if not generation.failed:
        yield answers.completion_chunk(head, "", generation.finish)
        if tells_usage:
            yield answers.completion_usage(head, _usage(generation))
    yield answers.END


async def _safely(generation: Generation, shape: Callable[[str], str]) -> AsyncIterator[str]:
    """The pieces as events; a failure is an event as well, since the status is sent already."""
    pieces = generation.pieces()
    try:
        async for text in pieces:
            yield shape(text)
    except GenerationFailed as error:
        yield answers.failed(f"The answer could not be finished: {error}")
    finally:
        generation.give_up()

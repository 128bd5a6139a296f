"""Answers in OpenAI's shapes, which are the classes of its own client library. Pure."""

import json
from typing import Literal, NamedTuple

from openai.types import Completion, CompletionChoice, CompletionUsage, Model
from openai.types.chat import ChatCompletion, ChatCompletionChunk, ChatCompletionMessage
from openai.types.chat.chat_completion import Choice
from openai.types.chat.chat_completion_chunk import Choice as ChunkChoice
from openai.types.chat.chat_completion_chunk import ChoiceDelta
from pydantic import BaseModel

Finish = Literal["stop", "length"]
END = "data: [DONE]\n\n"
KINDS = {400: "invalid_request_error", 401: "authentication_error", 404: "not_found_error", 429: "rate_limit_error"}


class Head(NamedTuple):
    """What all parts of one answer have in common; `created` in seconds since 1970."""

    id: str
    created: int
    model: str


def usage(prompt: int, answer: int) -> CompletionUsage:
    """The tokens of a request."""
    return CompletionUsage(prompt_tokens=prompt, completion_tokens=answer, total_tokens=prompt + answer)


def chat(head: Head, text: str, finish: Finish, tokens: CompletionUsage) -> dict[str, object]:
    """A whole answer to a conversation."""
    message = ChatCompletionMessage(role="assistant", content=text)
    choice = Choice(index=0, message=message, finish_reason=finish, logprobs=None)
    return ChatCompletion(object="chat.completion", choices=[choice], usage=tokens, **head._asdict()).model_dump(
        exclude_unset=True
    )


def chat_chunk(head: Head, text: str | None, finish: Finish | None = None, *, first: bool = False) -> str:
    """A piece of it, as an event of a stream."""
    delta = ChoiceDelta(role="assistant", content="") if first else ChoiceDelta(content=text) if text else ChoiceDelta()
    choice = ChunkChoice(index=0, delta=delta, finish_reason=finish)
    return event(ChatCompletionChunk(object="chat.completion.chunk", choices=[choice], **head._asdict()))


def chat_usage(head: Head, tokens: CompletionUsage) -> str:
    """The last piece, with no text."""
    return event(ChatCompletionChunk(object="chat.completion.chunk", choices=[], usage=tokens, **head._asdict()))


def completion(head: Head, text: str, finish: Finish, tokens: CompletionUsage) -> dict[str, object]:
    """A whole answer to a prompt."""
    choice = CompletionChoice(index=0, text=text, finish_reason=finish, logprobs=None)
    return Completion(object="text_completion", choices=[choice], usage=tokens, **head._asdict()).model_dump(
        exclude_unset=True
    )


def completion_chunk(head: Head, text: str, finish: Finish | None = None) -> str:
    """A piece of it. The library's class has no place for a piece that ends nothing, so it is not checked."""
    ends = CompletionChoice.model_construct(index=0, text=text, finish_reason=finish or "stop", logprobs=None)
    choice = ends if finish else ends.model_copy(update={"finish_reason": None})
    return event(Completion.model_construct(object="text_completion", choices=[choice], **head._asdict()))


def completion_usage(head: Head, tokens: CompletionUsage) -> str:
    """The last piece, with no text."""
    return event(Completion(object="text_completion", choices=[], usage=tokens, **head._asdict()))


def models(name: str, created: int, longest: int) -> dict[str, object]:
    """The list with the one model, and how many tokens it reads here, as vLLM tells it."""
    found = Model(id=name, created=created, object="model", owned_by="transformers").model_dump(exclude_unset=True)
    return {"object": "list", "data": [found | {"max_model_len": longest}]}


def error(status: int, message: str) -> dict[str, object]:
    """An error, of the shape that vLLM's routes use as well."""
    kind = KINDS.get(status, "internal_server_error")
    return {"error": {"message": message, "type": kind, "param": None, "code": status}}


def failed(message: str) -> str:
    """An error in the middle of a stream, as vLLM sends it."""
    return f"data: {json.dumps(error(500, message))}\n\n"


def event(content: BaseModel) -> str:
    """One event of a stream (server-sent events)."""
    return f"data: {content.model_dump_json(exclude_unset=True)}\n\n"

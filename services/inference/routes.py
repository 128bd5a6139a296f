"""The route `POST /chat`: KAITO's old interface, answered by the engine that serves vLLM's own routes."""

from typing import Annotated

from fastapi import APIRouter, Body, Request
from fastapi.responses import JSONResponse
from pydantic import ValidationError
from vllm.entrypoints.openai.chat_completion.protocol import ChatCompletionRequest
from vllm.entrypoints.openai.completion.protocol import CompletionRequest
from vllm.entrypoints.serve.engine.protocol import ErrorResponse
from vllm.entrypoints.serve.utils.api_utils import with_cancellation

from services.inference.chat import ChatBody, explain
from services.inference.generate_kwargs import GenerateKwargs, request_fields
from services.inference.vllm_names import ChatTemplateResolutionError


def chat_router() -> APIRouter:
    """Return a router with `/chat`. Who may use it is the gate's business."""

    async def chat(body: Annotated[object, Body()], raw_request: Request) -> JSONResponse:
        """Answer a prompt or a conversation with `{"Result": text}`."""
        try:
            asked = ChatBody.model_validate(body)
        except ValidationError as error:
            return refusal(400, explain(error))
        return await answer(asked, raw_request)

    router = APIRouter()
    schema = {"requestBody": {"content": {"application/json": {"schema": ChatBody.model_json_schema()}}}}
    # with_cancellation ends the generation when the client goes away.
    router.add_api_route("/chat", with_cancellation(chat), methods=["POST"], openapi_extra=schema)
    return router


async def answer(asked: ChatBody, raw_request: Request) -> JSONResponse:
    """Let the engine answer: as a chat where the model has a chat template, else by going on with the prompt."""
    handler = getattr(raw_request.app.state, "openai_serving_chat", None)
    if handler is None:
        return refusal(400, "The model served here does not generate text.")
    how = request_fields(asked.generate_kwargs or GenerateKwargs())
    request = ChatCompletionRequest(messages=asked.conversation(), **how)
    try:
        response = await handler.create_chat_completion(request, raw_request)
    except ChatTemplateResolutionError:
        return await _continue_prompt(asked, how, raw_request)
    if isinstance(response, ErrorResponse):
        return JSONResponse(response.model_dump(), response.error.code)
    return JSONResponse(asked.result(response.choices[0].message.content or ""))


async def _continue_prompt(asked: ChatBody, how: dict[str, object], raw_request: Request) -> JSONResponse:
    """Answer for a base model, which has no chat template: it goes on with a text, and knows no turns."""
    if asked.messages is not None:
        return refusal(400, "The model served here has no chat template, so it takes a prompt, not messages.")
    request = CompletionRequest(prompt=asked.text, **how)
    response = await raw_request.app.state.openai_serving_completion.create_completion(request, raw_request)
    if isinstance(response, ErrorResponse):
        return JSONResponse(response.model_dump(), response.error.code)
    return JSONResponse(asked.result(response.choices[0].text))


def refusal(status: int, message: str) -> JSONResponse:
    """Return an error of the shape that vLLM's own routes use."""
    return JSONResponse({"error": {"message": message, "type": "Bad Request", "param": None, "code": status}}, status)

"""The bodies of OpenAI's routes, as far as transformers' `generate` can do them. What it cannot is refused by name."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

NEUTRAL: dict[str, tuple[object, ...]] = {
    "best_of": (None, 1),
    "echo": (None, False),
    "frequency_penalty": (None, 0),
    "function_call": (None, "none"),
    "functions": (None, []),
    "logit_bias": (None, {}),
    "logprobs": (None, False),
    "n": (None, 1),
    "presence_penalty": (None, 0),
    "response_format": (None, {"type": "text"}),
    "suffix": (None, ""),
    "tool_choice": (None, "none", "auto"),
    "tools": (None, []),
    "top_logprobs": (None, 0),
}
"""Fields of OpenAI's that this server does not have, with the values at which they change nothing."""

MOST_STOPS = 16
SHOWN_FAULTS = 5
LEAST_TEMPERATURE = 1e-3
COMPLETION_TOKENS = 16
"""What OpenAI's completions take where `max_tokens` is left out."""


class Sampling(BaseModel):
    """How to generate. What is None is left to the model's generation config."""

    model_config = ConfigDict(frozen=True)

    max_tokens: int | None = Field(default=None, ge=1)
    min_tokens: int = Field(default=0, ge=0)
    temperature: float | None = Field(default=None, ge=0, le=2)
    top_p: float | None = Field(default=None, gt=0, le=1)
    top_k: int | None = Field(default=None, ge=-1)
    min_p: float | None = Field(default=None, ge=0, le=1)
    repetition_penalty: float | None = Field(default=None, ge=0.01, le=100)
    seed: int | None = Field(default=None, ge=-(2**63), lt=2**63)
    stop: Annotated[tuple[str, ...], Field(max_length=MOST_STOPS)] = ()
    stop_token_ids: tuple[int, ...] = ()

    @field_validator("stop", "stop_token_ids", mode="before")
    @classmethod
    def _many(cls, value: object) -> object:
        return (value,) if isinstance(value, str) else () if value is None else value

    def arguments(self) -> dict[str, object]:
        """The same as arguments of `generate`, but for lengths and stops. A temperature of 0 is the likeliest token.

        So is one so small that probabilities divided by it are no numbers any more: on a GPU such a request would
        end all that come after it.
        """
        if self.temperature is not None and self.temperature < LEAST_TEMPERATURE:
            return {"do_sample": False}
        given = self.model_dump(include={"temperature", "top_p", "min_p", "repetition_penalty"}, exclude_none=True)
        if self.top_k is not None:
            given["top_k"] = max(0, self.top_k)
        samples = given.keys() - {"repetition_penalty"}
        return {"do_sample": True, "temperature": 1.0, **given} if samples else given


class StreamOptions(BaseModel):
    """What a stream tells besides."""

    include_usage: bool = False


class Body(Sampling):
    """What both routes take. Other fields change nothing here, and are not looked at."""

    model: str | None = None
    stream: bool = False
    stream_options: StreamOptions | None = None

    @model_validator(mode="before")
    @classmethod
    def _refuse(cls, data: object) -> object:
        """Refuse what would be answered otherwise than was asked; what is null counts as left out."""
        if not isinstance(data, dict):
            return data
        for name, neutral in NEUTRAL.items():
            if name in data and data[name] not in neutral:
                raise ValueError(f"{name} is not possible with the transformers runtime; leave it out")
        return {name: value for name, value in data.items() if value is not None}

    @property
    def tells_usage(self) -> bool:
        """Whether a stream ends with the number of tokens."""
        return self.stream_options is not None and self.stream_options.include_usage


class TextPart(BaseModel):
    """A part of a message: text; pictures and sound are not served here."""

    type: Literal["text"]
    text: str


class Turn(BaseModel):
    """One turn of a conversation, as the model's chat template takes it."""

    role: Literal["system", "developer", "user", "assistant"]
    content: str | list[TextPart]

    @property
    def text(self) -> str:
        """The content as one text."""
        return self.content if isinstance(self.content, str) else "".join(part.text for part in self.content)


class ChatRequest(Body):
    """The body of `/v1/chat/completions`."""

    messages: list[Turn] = Field(min_length=1)
    max_completion_tokens: int | None = Field(default=None, ge=1)

    @property
    def sampling(self) -> Sampling:
        """How to generate; the newer name of the length wins."""
        given = self.model_dump(include=set(Sampling.model_fields))
        return Sampling(**given | {"max_tokens": self.max_completion_tokens or self.max_tokens})

    def conversation(self) -> list[dict[str, str]]:
        """The turns for a chat template, which knows no developers."""
        return [{"role": "system" if t.role == "developer" else t.role, "content": t.text} for t in self.messages]


class CompletionRequest(Body):
    """The body of `/v1/completions`. The prompt is one text, or one list of tokens."""

    prompt: str | list[int]

    @field_validator("prompt", mode="before")
    @classmethod
    def _only_one(cls, value: object) -> object:
        if isinstance(value, list) and value and isinstance(value[0], (str, list)):
            if len(value) > 1:
                raise ValueError("one prompt a request, please: this server answers one at a time")
            return value[0]
        return value

    @property
    def sampling(self) -> Sampling:
        """How to generate."""
        given = self.model_dump(include=set(Sampling.model_fields))
        return Sampling(**given | {"max_tokens": self.max_tokens or COMPLETION_TOKENS})


def faults(error: ValidationError) -> str:
    """What is wrong with a body, naming each field, in one sentence."""
    told = [_fault(str(found["type"]), found["loc"], found["msg"]) for found in error.errors()]
    more = f" (and {len(told) - SHOWN_FAULTS} more)" if len(told) > SHOWN_FAULTS else ""
    return "; ".join(told[:SHOWN_FAULTS]) + more


def _fault(kind: str, path: tuple[int | str, ...], message: str) -> str:
    text = message.removeprefix("Value error, ")
    where = ".".join(map(str, path)) or ("" if kind == "value_error" else "the body")
    return f"{where}: {text}" if where else text

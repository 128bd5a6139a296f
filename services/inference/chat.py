"""The body of `/chat`, KAITO's interface before it moved to OpenAI's, with the field names of its server."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from services.inference.generate_kwargs import GenerateKwargs

SHOWN_FAULTS = 5


class Message(BaseModel):
    """One turn of a conversation."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    role: Literal["system", "user", "assistant"]
    content: str


class ChatBody(BaseModel):
    """What a client posts to `/chat`: a prompt or a conversation."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    prompt: str | None = Field(default=None, min_length=1)
    messages: list[Message] | None = Field(default=None, min_length=1)
    return_full_text: bool | None = Field(default=False, description="True: the answer follows the prompt.")
    clean_up_tokenization_spaces: bool | None = Field(default=None, description="Accepted; vLLM's text needs none.")
    prefix: str | None = Field(default=None, description="Put before the prompt.")
    handle_long_generation: None = Field(default=None, description="Only null: a prompt must fit the context.")
    generate_kwargs: GenerateKwargs | None = None

    @model_validator(mode="after")
    def _one_input(self) -> "ChatBody":
        if (self.prompt is None) == (self.messages is None):
            raise ValueError("give either prompt (a text) or messages (a list of role and content), not both")
        return self

    @property
    def text(self) -> str:
        """The prompt with its prefix; empty for a conversation."""
        return (self.prefix or "") + (self.prompt or "")

    def conversation(self) -> list[dict[str, str]]:
        """Return the turns to answer; a prompt is one turn of the user's."""
        if self.messages is not None:
            return [message.model_dump() for message in self.messages]
        return [{"role": "user", "content": self.text}]

    def result(self, answer: str) -> dict[str, str]:
        """Return the body to answer with."""
        return {"Result": self.text + answer if self.return_full_text else answer}


def explain(error: ValidationError) -> str:
    """Say in plain words what is wrong with a body, naming each field."""
    faults = [_fault(str(fault["type"]), fault["loc"], fault["msg"]) for fault in error.errors()]
    more = f" (and {len(faults) - SHOWN_FAULTS} more)" if len(faults) > SHOWN_FAULTS else ""
    return "; ".join(faults[:SHOWN_FAULTS]) + more


def _fault(kind: str, path: tuple[int | str, ...], message: str) -> str:
    name = ".".join(str(part) for part in path)
    if kind == "extra_forbidden":
        known = GenerateKwargs if path[0] == "generate_kwargs" else Message if path[0] == "messages" else ChatBody
        return f"{name} is not known here; known are {', '.join(sorted(known.model_fields))}"
    if kind == "model_type" and not path:
        return "the body must be a JSON object"
    text = message.removeprefix("Value error, ")
    return f"{name}: {text}" if name else text

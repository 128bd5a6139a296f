"""From the columns of a data set to examples that a model is trained on. Pure.

What a user names comes first. Without a word the usual names are tried: `messages`; `instruction` with `context` and
`response`; `prompt` with `completion`; `question` with `answer`; `text`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from services.inference.tuning.failure import TuningError
from services.tuning.sections import DatasetConfig

Row = Mapping[str, object]
Example = dict[str, object]

_USUAL: Final = (
    ("instruction", "context", "response"),
    ("instruction", "input", "output"),
    ("prompt", None, "completion"),
    ("prompt", None, "response"),
    ("question", "context", "answer"),
)
ROLES: Final = frozenset({"system", "user", "assistant", "tool"})


class Columns(NamedTuple):
    """Which column is what. Either `messages`, or `text`, or a `response` to an instruction, a context, or both."""

    messages: str | None = None
    text: str | None = None
    instruction: str | None = None
    context: str | None = None
    response: str | None = None

    @property
    def words(self) -> str:
        """For a person."""
        return ", ".join(f"{column} as {role}" for role, column in self._asdict().items() if column)


def choose_columns(there: Sequence[str], config: DatasetConfig) -> Columns:
    """The columns to use. Raises TuningError that names those which there are."""
    named = Columns(
        config.messages_column, None, config.instruction_column, config.context_column, config.response_column
    )
    if missing := [column for column in named if column and column not in there]:
        raise _wrong(there, f"DatasetConfig names {' and '.join(map(repr, missing))}, which the data does not have.")
    if named.messages:
        return Columns(messages=named.messages)
    if named.response and not (named.instruction or named.context):
        return Columns(text=named.response)  # as in KAITO: a column of whole texts
    if named.response:
        return named
    if named.instruction or named.context:
        raise _wrong(there, "DatasetConfig names an instruction or a context, and no response_column.")
    return _usual(there)


def _usual(there: Sequence[str]) -> Columns:
    if "messages" in there:
        return Columns(messages="messages")
    for instruction, context, response in _USUAL:
        if instruction in there and response in there:
            return Columns(instruction=instruction, context=context if context in there else None, response=response)
    if "text" in there:
        return Columns(text="text")
    raise _wrong(there, "None of the usual columns is in the data: messages; instruction and response; text.")


def to_example(row: Row, columns: Columns, *, chat: bool) -> Example | None:
    """A row as an example; None where it says nothing. `chat`: the model has a template for conversations.

    Raises TuningError where a conversation is not one.
    """
    if columns.messages:
        return _conversation(row.get(columns.messages), chat=chat)
    if columns.text:
        text = _text(row, columns.text)
        return {"text": text} if text.strip() else None
    asked = "\n\n".join(part for part in (_text(row, columns.instruction), _text(row, columns.context)) if part)
    response = _text(row, columns.response)
    if not response.strip():
        return None
    if not chat:
        return {"prompt": f"{asked}\n\n", "completion": response}
    return {
        "prompt": [{"role": "user", "content": asked}],
        "completion": [{"role": "assistant", "content": response}],
    }


def _conversation(messages: object, *, chat: bool) -> Example | None:
    if not isinstance(messages, list):
        raise TuningError("A conversation must be a list of messages, each with role and content.")
    said = [_message(message) for message in messages]
    if not chat:
        raise TuningError(
            "The data holds conversations, and the model has no template for them. Tune an instruct model, or give "
            "the data columns for instruction and response."
        )
    return {"messages": said} if any(one["role"] == "assistant" for one in said) else None


def _message(message: object) -> dict[str, str]:
    role = message.get("role") if isinstance(message, dict) else None
    content = message.get("content") if isinstance(message, dict) else None
    if role not in ROLES or not isinstance(content, str):
        raise TuningError(
            f"A message must have a role ({', '.join(sorted(ROLES))}) and a content that is text; one is "
            f"{str(message)[:100]!r}."
        )
    return {"role": str(role), "content": content}


def _text(row: Row, column: str | None) -> str:
    value = row.get(column) if column else None
    return "" if value is None else str(value)


def _wrong(there: Sequence[str], why: str) -> TuningError:
    return TuningError(
        f"{why} It has {', '.join(there)[:300]}. Name them in DatasetConfig: messages_column, or response_column with "
        "instruction_column and context_column."
    )

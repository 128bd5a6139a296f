"""From files to examples: which are read, which columns are what, and what a person is told when they cannot be."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.inference.tuning.columns import Columns, choose_columns, to_example
from services.inference.tuning.failure import TuningError
from services.inference.tuning.files import data_files, digest_of
from services.tuning.sections import DatasetConfig

DOLLY = ("instruction", "context", "response", "category")
CHAT = [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "Hi"}]


def chosen(there: tuple[str, ...], **config: str) -> Columns:
    return choose_columns(there, DatasetConfig.model_validate(config))


def test_the_usual_columns_are_found() -> None:
    assert chosen(DOLLY) == Columns(instruction="instruction", context="context", response="response")
    assert chosen(("messages", "text")) == Columns(messages="messages")
    assert chosen(("prompt", "completion")) == Columns(instruction="prompt", response="completion")
    assert chosen(("instruction", "input", "output")) == Columns(
        instruction="instruction", context="input", response="output"
    )
    assert chosen(("text",)) == Columns(text="text")


def test_what_a_user_names_comes_first() -> None:
    assert chosen(("q", "a", "messages"), instruction_column="q", response_column="a") == Columns(
        instruction="q", response="a"
    )
    assert chosen(("body", "text"), response_column="body") == Columns(text="body")
    assert chosen(("talk",), messages_column="talk") == Columns(messages="talk")


@pytest.mark.parametrize(
    ("there", "config", "words"),
    [
        (("a", "b"), {"response_column": "answer"}, "names 'answer', which the data does not have"),
        (("a", "b"), {"instruction_column": "a"}, "no response_column"),
        (("a", "b"), {}, "None of the usual columns"),
    ],
)
def test_wrong_columns_are_told_with_those_that_there_are(
    there: tuple[str, ...], config: dict[str, str], words: str
) -> None:
    with pytest.raises(TuningError, match="It has a, b") as caught:
        chosen(there, **config)
    assert words in str(caught.value)


def test_a_row_becomes_a_conversation_where_the_model_has_a_template() -> None:
    row = {"instruction": "Sum up.", "context": "A text.", "response": "Short."}
    assert to_example(row, chosen(DOLLY), chat=True) == {
        "prompt": [{"role": "user", "content": "Sum up.\n\nA text."}],
        "completion": [{"role": "assistant", "content": "Short."}],
    }
    assert to_example(row, chosen(DOLLY), chat=False) == {"prompt": "Sum up.\n\nA text.\n\n", "completion": "Short."}


def test_rows_that_say_nothing_are_left_out() -> None:
    assert to_example({"instruction": "x", "response": " "}, chosen(DOLLY), chat=True) is None
    assert to_example({"text": None}, Columns(text="text"), chat=True) is None
    assert to_example({"messages": CHAT[:1]}, Columns(messages="messages"), chat=True) is None


def test_conversations_keep_roles_and_contents_alone() -> None:
    row = {"messages": [{**message, "name": "x"} for message in CHAT]}
    assert to_example(row, Columns(messages="messages"), chat=True) == {"messages": CHAT}


@pytest.mark.parametrize("messages", ["text", [{"role": "robot", "content": "x"}], [{"role": "user"}], ["x"]])
def test_what_is_no_conversation_is_told(messages: object) -> None:
    with pytest.raises(TuningError, match="must"):
        to_example({"messages": messages}, Columns(messages="messages"), chat=True)


def test_conversations_need_a_template() -> None:
    with pytest.raises(TuningError, match="no template"):
        to_example({"messages": CHAT}, Columns(messages="messages"), chat=False)


def test_files_of_one_format_are_read_and_hidden_ones_are_not(tmp_path: Path) -> None:
    (tmp_path / "b.jsonl").write_text("{}")
    (tmp_path / "a.JSONL").write_text("{}")
    (tmp_path / "README.md").write_text("x")
    (tmp_path / ".fetched").mkdir()
    (tmp_path / ".fetched" / "c.csv").write_text("x")
    assert [path.name for path in data_files(tmp_path, None)] == ["a.JSONL", "b.jsonl"]


@pytest.mark.parametrize(
    ("files", "wanted", "words"),
    [
        ({}, None, "there is no file"),
        ({"a.txt": b"x"}, None, "there is a.txt"),
        ({"a.csv": b""}, None, "a.csv is empty"),
        ({"a.csv": b"x", "b.json": b"{}"}, None, "several formats"),
        ({"a.csv": b"x"}, "parquet", "ends in .parquet"),
        (
            {"a.csv": "text\nGr\u00fc\u00dfe\n".encode("latin-1")},
            None,
            "is not UTF-8: there is a byte 0xfc near byte 7",
        ),
        ({"a.jsonl": '{"text": "x"}'.encode("utf-16")}, None, "is not UTF-8"),
    ],
)
def test_files_that_cannot_be_read_are_told(
    tmp_path: Path, files: dict[str, bytes], wanted: str | None, words: str
) -> None:
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    with pytest.raises(TuningError) as caught:
        data_files(tmp_path, wanted)
    assert words in str(caught.value)


def test_of_several_formats_the_named_one_is_read(tmp_path: Path) -> None:
    for name in ("a.csv", "b.json"):
        (tmp_path / name).write_text("x")
    assert [path.name for path in data_files(tmp_path, "csv")] == ["a.csv"]


def test_the_digest_is_of_names_and_bytes(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("x")
    first = digest_of([tmp_path / "a.csv"])
    assert first == digest_of([tmp_path / "a.csv"])
    (tmp_path / "a.csv").write_text("y")
    assert digest_of([tmp_path / "a.csv"]) != first

"""The body of `/chat`: what it means, and how a wrong one is explained."""

import pytest
from pydantic import ValidationError

from services.inference.chat import ChatBody, explain


def fault(body: object) -> str:
    with pytest.raises(ValidationError) as caught:
        ChatBody.model_validate(body)
    return explain(caught.value)


def test_a_prompt_is_one_turn_of_the_users() -> None:
    body = ChatBody.model_validate({"prompt": "Why?", "prefix": "Be short. "})
    assert body.conversation() == [{"role": "user", "content": "Be short. Why?"}]


def test_a_conversation_is_passed_on() -> None:
    turns = [{"role": "system", "content": "Be short."}, {"role": "user", "content": "Why?"}]
    assert ChatBody.model_validate({"messages": turns}).conversation() == turns


def test_only_the_answer_comes_back_unless_the_full_text_is_wanted() -> None:
    assert ChatBody(prompt="Why? ").result("So.") == {"Result": "So."}
    assert ChatBody(prompt="Why? ", return_full_text=True).result("So.") == {"Result": "Why? So."}


def test_what_old_clients_send_is_accepted() -> None:
    ChatBody.model_validate(
        {
            "prompt": "Why?",
            "return_full_text": False,
            "clean_up_tokenization_spaces": False,
            "prefix": None,
            "handle_long_generation": None,
            "generate_kwargs": {"max_length": 200, "do_sample": True, "num_beams": 1, "length_penalty": 1},
        }
    )


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({}, "either prompt"),
        ({"prompt": "a", "messages": [{"role": "user", "content": "b"}]}, "not both"),
        ({"prompt": ""}, "prompt"),
        ({"messages": []}, "messages"),
        ([], "JSON object"),
        (None, "JSON object"),
        ({"prompt": "a", "propmt": "b"}, "propmt is not known here"),
        ({"messages": [{"role": "robot", "content": "a"}]}, "messages.0.role"),
        ({"prompt": "a", "handle_long_generation": "hole"}, "handle_long_generation"),
        ({"prompt": "a", "generate_kwargs": {"temprature": 1}}, "generate_kwargs.temprature is not known here"),
        ({"prompt": "a", "generate_kwargs": {"num_beams": 4}}, "num_beams=4 is not possible here"),
        ({"prompt": "a", "generate_kwargs": {"top_p": 2}}, "generate_kwargs.top_p"),
    ],
)
def test_a_wrong_body_is_explained_by_name(body: object, says: str) -> None:
    assert says in fault(body)


def test_many_faults_are_cut_short() -> None:
    explained = fault({"prompt": "a", **{f"x{number}": 1 for number in range(1000)}})
    assert "and 995 more" in explained
    assert len(explained) < 2000

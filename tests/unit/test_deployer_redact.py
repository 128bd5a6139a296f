"""A crashed container's last words never carry a credential."""

from __future__ import annotations

import pytest

from services.deployer.redact import redact


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("401 for token hf_AbCdEfGh1234567890", "401 for token ***"),
        ("Authorization: Bearer eyJhbGciOi.x.y", "Authorization: Bearer ***"),
        ("GET https://user:pa55@registry.example/v2/", "GET https://***@registry.example/v2/"),
        ("HF_TOKEN=abc, next", "HF_TOKEN=***, next"),
        ("password: hunter2", "password: ***"),
        ("api_key=sk-123 refused", "api_key=*** refused"),
    ],
)
def test_credentials_are_taken_out(said: str, told: str) -> None:
    assert redact(said) == told


@pytest.mark.parametrize("text", ["ValueError: no valid cache blocks", "max_model_len=2048 of 12 tokens", ""])
def test_other_text_is_left_alone(text: str) -> None:
    assert redact(text) == text

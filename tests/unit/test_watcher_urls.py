"""Addresses of data and adapters travel in messages and stand in the status: no password may be in them."""

from __future__ import annotations

import pytest

from services.watcher.validate import find_problem
from tests.unit.samples import TUNING, workspace

PASSWORDS = [
    "https://me:s3cret@example.com/x", "https://s3cret@example.com/x", "https://:s3cret@[::1]:80/x", "http://@h/x",
    "HTTPS://me:s3cret@example.com", "https://me:s3cret@example.com/x@y",
]  # fmt: skip


def said(url: str) -> list[str]:
    """Of an adapter, and of data to tune on."""
    adapters = [{"source": {"name": "a", "urls": ["https://example.com/fine", url]}}]
    adapted = workspace(inference={"preset": {"name": "phi-4-mini-instruct"}, "adapters": adapters})
    tuned = workspace(tuning={**TUNING, "input": {"urls": [url]}})
    return [problem.message if problem else "" for problem in map(find_problem, (adapted, tuned))]


@pytest.mark.parametrize(
    "url",
    ["https://example.com/x?token=signed", "http://10.0.0.1:8080/x", "https://[2001:db8::1]/x", "https://h/a@b:c"],
)
def test_an_address_is_taken(url: str) -> None:
    assert said(url) == ["", ""]


@pytest.mark.parametrize("url", PASSWORDS)
def test_a_password_in_an_address_is_refused_and_not_repeated(url: str) -> None:
    for words, where in zip(said(url), ("inference.adapters[0].source.urls", "tuning.input.urls"), strict=True):
        assert words.startswith(f"{where}: the address of ")
        assert "has a user or a password" in words
        assert "imagePullSecrets" in words
        assert "s3cret" not in words


@pytest.mark.parametrize(
    "url", ["https://", "https:///x", "https://:80/x", "https://[::1/x", "http://h:port/x", "h/x", ""]
)
def test_an_address_without_a_host_is_none(url: str) -> None:
    assert all(f"{url!r} is none" in words for words in said(url))


@pytest.mark.parametrize("url", ["ftp://me:s3cret@h/x?sig=s3cret", "s3cret@h", "https://h:p/x?sig=s3cret#s3cret"])
def test_what_is_no_address_is_not_repeated_with_what_may_be_secret(url: str) -> None:
    assert all("takes http and https addresses only" in words for words in said(url))
    assert all("s3cret" not in words for words in said(url))

"""Which addresses are connected to, and under which name a file from a URL is kept."""

from __future__ import annotations

import ipaddress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.inference.url_file import Growing
from services.inference.url_rules import UrlError, UrlRules, check_url, file_name, free_name, is_allowed, shown_url

LOOPBACK = (ipaddress.ip_network("127.0.0.0/8"),)


@pytest.mark.parametrize("address", ["8.8.8.8", "140.82.121.3", "2606:4700::1111"])
def test_the_public_internet_is_connected_to(address: str) -> None:
    assert is_allowed(address)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.0.0.1",
        "172.16.3.4",
        "192.168.1.1",
        "100.100.100.200",
        "169.254.169.254",
        "168.63.129.16",
        "0.0.0.0",
        "224.0.0.1",
        "255.255.255.255",
        "::1",
        "::",
        "fe80::1%eth0",
        "fd00:ec2::254",
        "ff02::1",
        "::ffff:127.0.0.1",
        "64:ff9b::a9fe:a9fe",
        "2002:7f00:1::1",
        "64:ff9b:1::a9fe:a9fe",
        "fec0::1",
        "::ffff:0:a9fe:a9fe",
        "::7f00:1",
        "not an address",
    ],
)
def test_what_is_within_a_network_or_a_cloud_is_not(address: str) -> None:
    assert not is_allowed(address)


def test_a_network_that_is_named_is_let_through_and_no_other() -> None:
    assert is_allowed("127.0.0.1", LOOPBACK)
    assert is_allowed("::ffff:127.0.0.1", LOOPBACK)
    assert not is_allowed("10.0.0.1", LOOPBACK)
    assert not is_allowed("::1", LOOPBACK)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://example.com/a.csv", "Use https"),
        ("ftp://example.com/a.csv", "is no http or https address"),
        ("https:///a.csv", "is no http or https address"),
        ("file:///etc/passwd", "is no http or https address"),
        ("https://example.com/a b.csv", "is no http or https address"),
        ("https://example.com:99999/a.csv", "no address"),
        ("https://[::1/a.csv", "no address"),
        ("https://me:hush@example.com/a.csv", "holds a user or a password"),
    ],
)
def test_addresses_that_are_not_even_asked_for(url: str, words: str) -> None:
    with pytest.raises(UrlError, match=words) as caught:
        check_url(url, UrlRules())
    assert not caught.value.passes
    assert "hush" not in str(caught.value)


def test_plain_http_may_be_let_through() -> None:
    check_url("http://example.com/a.csv", UrlRules(plain_http=True))


def test_a_message_shows_no_key_of_an_address() -> None:
    assert shown_url("https://u:p@example.com:8443/a.csv?sig=secret#f") == "https://example.com:8443/a.csv"


@pytest.mark.parametrize(
    ("url", "told", "name"),
    [
        ("https://e.com/x/train.parquet?download=true", None, "train.parquet"),
        ("https://e.com/get?id=1", "Daten 2.csv", "Daten 2.csv"),
        ("https://e.com/a.csv", "../../etc/passwd", "passwd"),
        ("https://e.com/a.csv", "C:\\temp\\b.json", "b.json"),
        ("https://e.com/a.csv", "..", "a.csv"),
        ("https://e.com/", None, "download"),
        ("https://e.com/%2e%2e%2fx.json", None, "x.json"),
        ("https://e.com/.hidden.csv", None, "hidden.csv"),
    ],
)
def test_the_name_of_a_file(url: str, told: str | None, name: str) -> None:
    assert file_name(url, told) == name


@given(st.text(max_size=400))
def test_whatever_a_server_calls_it_a_file_stays_in_its_folder(told: str) -> None:
    name = file_name("https://e.com/a.csv", told)
    assert name
    assert not name.startswith(".")
    assert not set(name) & {"/", "\\", "\0", "\n"}
    assert len(name.encode()) <= 180


def test_a_name_that_is_taken_gets_a_number() -> None:
    assert free_name("a.csv", set()) == "a.csv"
    assert free_name("a.csv", {"a.csv"}) == "a-2.csv"
    assert free_name("a.tar.gz", {"a.tar.gz", "a-2.tar.gz"}) == "a-3.tar.gz"


def test_a_file_is_whole_or_not_there(tmp_path: Path) -> None:
    growing = Growing(tmp_path, "https://e.com/a.csv?key=secret")
    growing.restart('"v1"')
    with growing.append() as file:
        file.write(b"abc")
    again = Growing(tmp_path, "https://e.com/a.csv?key=secret")
    assert (again.size, again.validator, again.whole()) == (3, '"v1"', None)
    whole = again.finish("a.csv")
    assert whole.path.read_bytes() == b"abc"
    assert Growing(tmp_path, "https://e.com/a.csv?key=secret").whole() == whole
    assert Growing(tmp_path, "https://e.com/b.csv").whole() is None
    whole.path.write_bytes(b"ab")
    assert again.whole() is None
    assert b"secret" not in b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())

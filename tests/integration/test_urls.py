"""Files from URLs over the wire: breaks, changes, redirects, servers that lie, and addresses within the network."""

from __future__ import annotations

import asyncio
import hashlib
import ipaddress
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web

from deploy.local.ports import free_port
from services.inference.url_file import Whole
from services.inference.url_rules import UrlError, UrlRules
from services.inference.urls import Tries, download_urls

DATA = bytes(range(256)) * 4096
HERE = UrlRules(plain_http=True, networks=(ipaddress.ip_network("127.0.0.0/8"),), seconds=60)
AT_ONCE = Tries(most=4, first=0.001)


class Server:
    """Files, and what goes wrong with them. `asked` are the ranges that were asked for."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.etag: str | None = '"v1"'
        self.data = DATA
        self.breaks_at: int | None = None
        self.breaks = 0
        self.changes_after = False
        self.most: int | None = None
        self.url = ""

    async def file(self, request: web.Request) -> web.StreamResponse:
        wanted = request.headers.get("Range", "")
        self.asked.append(wanted)
        same = request.headers.get("If-Range") == self.etag
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and same else 0
        end = min(len(self.data), start + self.most) if start and self.most else len(self.data)
        headers = {"Content-Length": str(end - start)} | ({"ETag": self.etag} if self.etag else {})
        if start:
            headers["Content-Range"] = f"bytes {start}-{end - 1}/{len(self.data)}"
        response = web.StreamResponse(status=206 if start else 200, headers=headers)
        await response.prepare(request)
        if self.breaks:
            self.breaks -= 1
            await response.write(self.data[start : start + (self.breaks_at or 0)])
            assert request.transport is not None
            request.transport.close()
            if self.changes_after:
                self.etag, self.data = '"v2"', DATA[::-1]
            return response
        await response.write(self.data[start:end])
        return response


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    server = Server()
    app = web.Application()
    app.router.add_get("/data.csv", server.file)
    app.router.add_get("/status/{code}", _status)
    app.router.add_get("/to", _redirect)
    app.router.add_get("/loop", _loop)
    app.router.add_get("/named", _named)
    app.router.add_get("/packed", _packed)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    server.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield server
    await runner.cleanup()


async def _status(request: web.Request) -> web.Response:
    return web.Response(status=int(request.match_info["code"]))


async def _redirect(request: web.Request) -> web.Response:
    return web.Response(status=302, headers={"Location": request.query["url"]})


async def _loop(_: web.Request) -> web.Response:
    return web.Response(status=302, headers={"Location": "/loop"})


async def _packed(_: web.Request) -> web.Response:
    return web.Response(body=b"x", headers={"Content-Encoding": "gzip"})


async def _named(_: web.Request) -> web.Response:
    return web.Response(body=b"a,b\n", headers={"Content-Disposition": 'attachment; filename="../train set.csv"'})


async def fetch(*urls: str, to: Path, rules: UrlRules = HERE) -> list[Whole]:
    to.mkdir(exist_ok=True)
    return await asyncio.to_thread(download_urls, urls, to, rules, tries=AT_ONCE)


async def trouble(url: str, to: Path, rules: UrlRules = HERE) -> UrlError:
    with pytest.raises(UrlError) as caught:
        await fetch(url, to=to, rules=rules)
    assert [path for path in to.iterdir() if not path.name.startswith(".")] == []
    return caught.value


async def test_a_file_comes_with_its_name_and_digest(server: Server, tmp_path: Path) -> None:
    (whole,) = await fetch(f"{server.url}/data.csv?download=true", to=tmp_path)
    assert whole == Whole(tmp_path / "data.csv", len(DATA), hashlib.sha256(DATA).hexdigest())
    assert whole.path.read_bytes() == DATA


async def test_what_is_here_is_not_fetched_again(server: Server, tmp_path: Path) -> None:
    first = await fetch(f"{server.url}/data.csv", to=tmp_path)
    assert await fetch(f"{server.url}/data.csv", to=tmp_path) == first
    assert server.asked == [""]


async def test_two_files_of_one_name_are_both_kept(server: Server, tmp_path: Path) -> None:
    found = await fetch(f"{server.url}/data.csv?part=1", f"{server.url}/data.csv?part=2", to=tmp_path)
    assert [whole.path.name for whole in found] == ["data.csv", "data-2.csv"]


async def test_a_break_goes_on_where_it_was(server: Server, tmp_path: Path) -> None:
    server.breaks_at, server.breaks = 100_000, 6  # each brings some bytes, so more are borne than failures in a row
    (whole,) = await fetch(f"{server.url}/data.csv", to=tmp_path)
    assert whole.path.read_bytes() == DATA
    assert server.asked[0] == ""
    assert all(asked.startswith("bytes=") for asked in server.asked[1:])


async def test_a_server_may_give_the_rest_in_parts(server: Server, tmp_path: Path) -> None:
    server.breaks, server.breaks_at, server.most = 1, len(DATA) // 4, len(DATA) // 4
    (whole,) = await fetch(f"{server.url}/data.csv", to=tmp_path / "data")
    assert whole.path.read_bytes() == DATA
    assert len(server.asked) >= 4


async def test_so_does_a_later_run(server: Server, tmp_path: Path) -> None:
    server.breaks_at, server.breaks = 0, 100
    with pytest.raises(UrlError) as caught:
        await fetch(f"{server.url}/data.csv", to=tmp_path)
    assert caught.value.passes
    server.breaks_at, server.breaks = 4096, 1
    await fetch(f"{server.url}/data.csv", to=tmp_path)
    assert server.asked[-1] == "bytes=4096-"


async def test_a_file_that_changed_meanwhile_is_fetched_anew(server: Server, tmp_path: Path) -> None:
    server.breaks_at, server.breaks = 4096, 1
    server.changes_after = True
    (whole,) = await fetch(f"{server.url}/data.csv", to=tmp_path)
    assert server.asked == ["", "bytes=4096-"]
    assert whole.path.read_bytes() == DATA[::-1]


async def test_without_a_validator_nothing_is_joined(server: Server, tmp_path: Path) -> None:
    server.etag, server.breaks_at, server.breaks = None, 4096, 2
    (whole,) = await fetch(f"{server.url}/data.csv", to=tmp_path)
    assert whole.path.read_bytes() == DATA
    assert set(server.asked) == {""}


async def test_a_server_names_the_file_but_no_folder(server: Server, tmp_path: Path) -> None:
    (whole,) = await fetch(f"{server.url}/named", to=tmp_path / "data")
    assert whole.path == tmp_path / "data" / "train set.csv"


async def test_redirects_are_followed_and_counted(server: Server, tmp_path: Path) -> None:
    (whole,) = await fetch(f"{server.url}/to?url=/data.csv", to=tmp_path / "a")
    assert whole.path.read_bytes() == DATA
    assert "more than 5 times" in str(await trouble(f"{server.url}/loop", tmp_path / "b"))


@pytest.mark.parametrize(
    "target",
    ["http://127.0.0.2:1/x", "http://169.254.169.254/latest/meta-data", "http://[::1]:1/x", "http://10.0.0.1/"],
)
async def test_no_redirect_leads_into_the_network(server: Server, tmp_path: Path, target: str) -> None:
    only_it = HERE._replace(networks=(ipaddress.ip_network("127.0.0.1/32"),))
    error = await trouble(f"{server.url}/to?url={target}", tmp_path, only_it)
    assert "not of the public internet" in str(error)
    assert not error.passes


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "2130706433", "127.1"])
async def test_by_itself_no_address_of_this_machine_is_connected_to(server: Server, tmp_path: Path, host: str) -> None:
    url = f"{server.url}/data.csv".replace("127.0.0.1", host)
    error = await trouble(url, tmp_path, UrlRules(plain_http=True))
    assert "not of the public internet" in str(error) or "no address of a file" in str(error)
    assert not error.passes
    assert server.asked == []


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("https://[bad/", "no address of a file"),
        ("file:///etc/passwd", "no http or https"),
        ("https://u:p@127.0.0.1/", "holds a user"),
    ],
)
async def test_a_redirect_to_what_is_not_asked_for_ends_it(
    server: Server, tmp_path: Path, target: str, words: str
) -> None:
    assert words in str(await trouble(f"{server.url}/to?url={target}", tmp_path))


@pytest.mark.parametrize(
    ("code", "words", "passes"),
    [
        (404, "is not there", False),
        (403, "is not open to everybody", False),
        (418, "answered 418", False),
        (503, "answered 503", True),
        (429, "answered 429", True),
    ],
)
async def test_answers_without_a_file(server: Server, tmp_path: Path, code: int, words: str, passes: bool) -> None:
    error = await trouble(f"{server.url}/status/{code}", tmp_path)
    assert words in str(error)
    assert error.passes is passes


async def test_a_file_is_not_unpacked(server: Server, tmp_path: Path) -> None:
    assert "packs the file" in str(await trouble(f"{server.url}/packed", tmp_path))


async def test_more_than_may_be_fetched_is_not(server: Server, tmp_path: Path) -> None:
    assert "may be fetched" in str(await trouble(f"{server.url}/data.csv", tmp_path, HERE._replace(bytes=1000)))


async def test_more_time_than_it_may_take_ends_it(server: Server, tmp_path: Path) -> None:
    server.breaks_at, server.breaks = 1, 10**6
    error = await trouble(f"{server.url}/data.csv", tmp_path, HERE._replace(seconds=0.3))
    assert "as long as it may take" in str(error)
    assert error.passes


async def test_nobody_there_may_pass(tmp_path: Path) -> None:
    error = await trouble(f"http://127.0.0.1:{free_port()}/a.csv?key=secret", tmp_path)
    assert error.passes
    assert "secret" not in str(error)
    assert "Connect" in str(error) or "refused" in str(error).lower()

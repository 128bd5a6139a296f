"""The HTTP side: the hub's description of a repository, its files with ranges, and a host to which it redirects."""

from __future__ import annotations

import asyncio
import re
from typing import NamedTuple, Self

from aiohttp import web
from aiohttp.test_utils import TestServer

from tests.hub.models import Blob, Repo


class Seen(NamedTuple):
    """A request that came in, and the token that came with it."""

    host: str
    path: str
    token: str | None
    range: str | None


class Fault(NamedTuple):
    """What is answered instead, for paths that hold `where`, so many times."""

    where: str
    status: int
    headers: dict[str, str]
    body: bytes
    times: int


class Hub:
    """Serves repositories. Faults make it misbehave; `silent` makes it take requests and say nothing."""

    def __init__(self) -> None:
        self.repos: dict[str, Repo] = {}
        self.renamed: dict[str, str] = {}
        self.seen: list[Seen] = []
        self.faults: list[Fault] = []
        self.ranges = True
        self.go_on = asyncio.Event()
        self.go_on.set()
        self.busy = 0
        self.busiest = 0
        self.hub = TestServer(self._app(self._hub), host="127.0.0.1")
        self.cdn = TestServer(self._app(self._cdn), host="127.0.0.1")

    async def __aenter__(self) -> Self:
        await self.hub.start_server()
        await self.cdn.start_server()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.go_on.set()
        await self.hub.close()
        await self.cdn.close()

    @property
    def url(self) -> str:
        return str(self.hub.make_url("")).rstrip("/")

    def add(self, *repos: Repo) -> None:
        self.repos |= {repo.id: repo for repo in repos}

    def fail(self, where: str, status: int, *, times: int = 1000, body: bytes = b"", **headers: str) -> None:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.faults.append(Fault(where, status, named, body, times))

    def drop(self, where: str, *, times: int) -> None:
        """Close the connection instead of an answer."""
        self.faults.append(Fault(where, 0, {}, b"", times))

    def silence(self) -> None:
        self.go_on.clear()

    def _app(self, handler: object) -> web.Application:
        app = web.Application()
        app.router.add_get("/{path:.*}", handler)  # type: ignore[arg-type]  # one of the two below
        return app

    async def _hub(self, request: web.Request) -> web.StreamResponse:
        return await self._played("hub", request)

    async def _cdn(self, request: web.Request) -> web.StreamResponse:
        return await self._played("cdn", request)

    async def _played(self, host: str, request: web.Request) -> web.StreamResponse:
        token = request.headers.get("Authorization", "").removeprefix("Bearer ") or None
        self.seen.append(Seen(host, request.path, token, request.headers.get("Range")))
        self.busy += 1
        self.busiest = max(self.busy, self.busiest)
        try:
            await self.go_on.wait()
            if fault := self._fault(request.path):
                if not fault.status and request.transport:
                    request.transport.close()
                return web.Response(status=fault.status or 500, headers=fault.headers, body=fault.body)
            return self._answer(request, token) if host == "hub" else self._large(request)
        finally:
            self.busy -= 1

    def _fault(self, path: str) -> Fault | None:
        for index, fault in enumerate(self.faults):
            if fault.where in path and fault.times:
                self.faults[index] = fault._replace(times=fault.times - 1)
                return fault
        return None

    def _answer(self, request: web.Request, token: str | None) -> web.StreamResponse:
        if match := re.fullmatch(r"/api/models/([^/]+/[^/]+)/revision/([^/]+)", request.path):
            return self._describe(request, match[1], match[2], token)
        if match := re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", request.path):
            return self._file(request, match[1], match[2], match[3], token)
        return web.Response(status=404)

    def _describe(self, request: web.Request, model: str, revision: str, token: str | None) -> web.Response:
        if model in self.renamed:
            target = f"/api/models/{self.renamed[model]}/revision/{revision}?{request.query_string}"
            return web.Response(status=307, headers={"Location": target})
        repo = self._find(model)
        if repo is None or (repo.private and token not in repo.tokens):
            return _error(404 if token else 401, "RepoNotFound")
        if revision not in ("main", repo.commit, *repo.older):
            return _error(404, "RevisionNotFound")
        commit = repo.commit if revision == "main" else revision
        siblings = [{"rfilename": name, "size": blob.size} for name, blob in repo.files.items()]
        return web.json_response(
            {"id": repo.id, "sha": commit, "private": repo.private, "gated": repo.gated, "siblings": siblings,
             "cardData": {"license": repo.license}, "tags": []}
        )  # fmt: skip

    def _find(self, model: str) -> Repo | None:
        """As the hub does, whatever the case of its letters."""
        return next((repo for repo in self.repos.values() if repo.id.lower() == model.lower()), None)

    def _file(
        self, request: web.Request, model: str, revision: str, name: str, token: str | None
    ) -> web.StreamResponse:
        repo = self._find(model)
        if repo is None:
            return _error(401, "RepoNotFound")
        if (repo.gated or repo.private) and token not in repo.tokens:
            return _error(403 if token else 401, "GatedRepo")
        if name not in repo.files or revision not in ("main", repo.commit, *repo.older):
            return _error(404, "EntryNotFound")
        commit = {"X-Repo-Commit": repo.commit}
        if name in repo.large:
            target = self.cdn.make_url(f"/blobs/{repo.id}/{name}").with_query({"Signature": "s"})
            return web.Response(status=302, headers={**commit, "Location": str(target)})
        return self._send(request, repo.files[name], commit)

    def _large(self, request: web.Request) -> web.StreamResponse:
        organisation, model, name = request.path.removeprefix("/blobs/").split("/", 2)
        return self._send(request, self.repos[f"{organisation}/{model}"].files[name], {})

    def _send(self, request: web.Request, blob: Blob, headers: dict[str, str]) -> web.Response:
        asked = re.fullmatch(r"bytes=(\d+)-(\d+)", request.headers.get("Range", ""))
        if asked is None or not self.ranges:
            return web.Response(body=blob.part(0, min(blob.size, 2**25) - 1), headers=headers)
        first, last = int(asked[1]), min(int(asked[2]), blob.size - 1)
        if first >= blob.size:
            return web.Response(status=416, headers={"Content-Range": f"bytes */{blob.size}"})
        headers = {**headers, "Content-Range": f"bytes {first}-{last}/{blob.size}"}
        return web.Response(status=206, body=blob.part(first, last), headers=headers)


def _error(status: int, code: str) -> web.Response:
    return web.json_response({"error": code}, status=status, headers={"X-Error-Code": code})

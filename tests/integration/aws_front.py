"""AWS for tests: moto's server, and before it a front that sees every request and can answer in moto's stead."""

from __future__ import annotations

import asyncio
import json
import re
import time
import urllib.request
import uuid
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cache
from types import MappingProxyType
from typing import ClassVar, NamedTuple

import aiohttp
import boto3
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from botocore.loaders import create_loader, instance_cache
from moto.eks.utils import validate_role_arn
from moto.server import ThreadedMotoServer

from services.chassis.kube import JsonObject
from services.provisioner.providers.aws.models import LeanLoader

REGION = "eu-west-1"
_NO_HEADERS: Mapping[str, str] = MappingProxyType({})


class Reply(NamedTuple):
    """One answer as it goes over the wire; `silent` for none at all.

    With `after` the request is obeyed first. `first` is done before it is answered.
    """

    status: int = 200
    body: str = ""
    headers: Mapping[str, str] = _NO_HEADERS
    silent: bool = False
    after: bool = False
    first: Callable[[], None] | None = None


SILENCE = Reply(silent=True)
OBEYED_IN_SILENCE = Reply(silent=True, after=True)


class Seen(NamedTuple):
    """A request that came in."""

    method: str
    path: str
    body: str

    @property
    def json(self) -> dict[str, object]:
        return dict(json.loads(self.body))


def eks_error(name: str, message: str, status: int = 400, **headers: str) -> Reply:
    """An error of EKS: its name in a header, its words in JSON."""
    body = json.dumps({"message": message})
    return Reply(status, body, {"x-amzn-ErrorType": f"{name}:http://internal.amazon.com/coral/", **headers})


def typed_error(name: str, message: str, status: int = 400) -> Reply:
    """An error of the front door before EKS: its name is in the body."""
    return Reply(status, json.dumps({"__type": f"com.amazon.coral.service#{name}", "message": message}))


def ec2_error(name: str, message: str, status: int = 400) -> Reply:
    """An error of EC2, which speaks XML."""
    error = f"<Errors><Error><Code>{name}</Code><Message>{message}</Message></Error></Errors>"
    return Reply(status, f"<?xml version='1.0'?><Response>{error}<RequestID>r-1</RequestID></Response>")


@dataclass
class AwsFront:
    """Hands requests on to moto, unless there is a script for them. Scripts go by a pattern of "METHOD path"."""

    upstream: str
    cluster: str
    seen: list[Seen] = field(default_factory=list)
    answered: list[float] = field(default_factory=list)
    """When it has answered in moto's stead (`time.monotonic`)."""
    groups: dict[str, dict[str, object]] = field(default_factory=dict)
    """The node groups that are there, as they were asked for."""
    _scripts: list[tuple[re.Pattern[str], deque[Reply]]] = field(default_factory=list)
    _always: list[tuple[re.Pattern[str], Reply]] = field(default_factory=list)
    _changes: dict[str, dict[str, object]] = field(default_factory=dict)
    _closing: asyncio.Event = field(default_factory=asyncio.Event)
    _one_at_a_time: asyncio.Lock = field(default_factory=asyncio.Lock)
    """EKS takes a name once. moto's threads look and then write, so here they come one after the other."""

    def script(self, pattern: str, *replies: Reply) -> None:
        """Give these answers, one after the other, then moto's again."""
        self._scripts.append((re.compile(pattern), deque(replies)))

    def always(self, pattern: str, reply: Reply) -> None:
        """Give this answer from now on."""
        self._always.append((re.compile(pattern), reply))

    def heal(self) -> None:
        """Give moto's answers again, to calls that hang too."""
        self._scripts.clear()
        self._always.clear()
        self._closing.set()
        self._closing = asyncio.Event()

    def change(self, group: str, **fields: object) -> None:
        """Have a node group described with other fields than moto's: in a state that moto knows not."""
        self._changes[group] = fields

    def requests(self, method: str, part: str = "") -> list[Seen]:
        return [request for request in self.seen if request.method == method and part in request.path]

    @asynccontextmanager
    async def run(self) -> AsyncIterator[str]:
        """Serve on a free port; gives the address."""
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._answer)
        server = TestServer(app, host="127.0.0.1")
        await server.start_server()
        try:
            yield str(server.make_url("")).rstrip("/")
        finally:
            self._closing.set()
            await server.close()

    async def _answer(self, request: web.Request) -> web.Response:
        seen = Seen(request.method, request.path, (await request.read()).decode())
        self.seen.append(seen)
        reply = self._scripted(f"{seen.method} {seen.path} {seen.body}")
        if reply is None or reply.after:
            # What has been obeyed is noted, also where whoever asked has hung up meanwhile.
            answer = await asyncio.shield(asyncio.ensure_future(self._obey(request, seen)))
        if reply is None:
            return answer
        self.answered.append(time.monotonic())
        if reply.first:
            reply.first()
        if reply.silent:
            await self._closing.wait()
        return web.Response(status=reply.status, text=reply.body, headers=reply.headers)

    def _scripted(self, line: str) -> Reply | None:
        queued = (replies.popleft() for pattern, replies in self._scripts if replies and pattern.search(line))
        return next(queued, None) or next((reply for pattern, reply in self._always if pattern.search(line)), None)

    async def _obey(self, request: web.Request, seen: Seen) -> web.Response:
        async with self._one_at_a_time:
            return await self._forward(request, seen)

    async def _forward(self, request: web.Request, seen: Seen) -> web.Response:
        headers = {k: v for k, v in request.headers.items() if k.lower() not in ("host", "content-length")}
        async with (
            aiohttp.ClientSession() as session,
            session.request(
                seen.method, self.upstream + request.path_qs, data=seen.body.encode(), headers=headers
            ) as got,
        ):
            body = self._changed(seen, await got.text())
            self._note(seen, got.status)
            kept = {k: v for k, v in got.headers.items() if k.lower().startswith("x-amz")}
            return web.Response(status=got.status, text=body, headers=kept)

    def _note(self, seen: Seen, status: int) -> None:
        """Keep in mind which node groups there are."""
        if status == 200 and seen.method == "POST" and seen.path.endswith("/node-groups"):
            self.groups[str(seen.json["nodegroupName"])] = seen.json
        elif status == 200 and seen.method == "DELETE":
            self.groups.pop(seen.path.rpartition("/")[2], None)

    def _changed(self, seen: Seen, body: str) -> str:
        fields = self._changes.get(seen.path.rpartition("/")[2])
        if fields is None or seen.method != "GET":
            return body
        answer = json.loads(body)
        return json.dumps(answer | {"nodegroup": answer["nodegroup"] | fields})


class Moto:
    """moto's server, in a thread of this process, with what a cluster needs. Each test gets a cluster of its own."""

    def __init__(self) -> None:
        self._server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
        self._server.start()
        host, port = self._server.get_host_and_port()
        self.url = f"http://{host}:{port}"
        keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test", "region_name": REGION}
        session = boto3.Session(**keys)
        iam = session.client("iam", endpoint_url=self.url)
        self.role = str(iam.create_role(RoleName="node", AssumeRolePolicyDocument="{}")["Role"]["Arn"])
        found = session.client("ec2", endpoint_url=self.url).describe_subnets()
        self.subnets = [str(subnet["SubnetId"]) for subnet in found["Subnets"]][:2]
        self._eks = session.client("eks", endpoint_url=self.url)

    def make_cluster(self) -> str:
        name = f"models-{uuid.uuid4().hex[:6]}"
        self._eks.create_cluster(name=name, roleArn=self.role, resourcesVpcConfig={"subnetIds": self.subnets})
        return name

    def make_group(self, cluster: str, name: str, **tags: str) -> None:
        """A node group that somebody else makes."""
        self._eks.create_nodegroup(
            clusterName=cluster, nodegroupName=name, subnets=self.subnets, nodeRole=self.role, tags=tags
        )

    def take_group(self, cluster: str, name: str) -> None:
        """A node group goes without anybody of ours having asked for it."""
        self._eks.delete_nodegroup(clusterName=cluster, nodegroupName=name)

    def stop(self) -> None:
        """End it, and forget what it keeps for the whole process."""
        reset = urllib.request.Request(f"{self.url}/moto-api/reset", method="POST")
        urllib.request.urlopen(reset, timeout=5).close()
        self._server.stop()


_tables = cache(create_loader)
"""The SDK's tables, read once for all: each session would read them anew for half a second."""
_is_role = cache(validate_role_arn)
"""moto makes a session of the SDK to look at the name of a role."""


class _LeanTables(LeanLoader):
    """Those that a client of ours reads, once for all too: what one has read, the next has."""

    _read: ClassVar[dict[object, object]] = {}

    def __init__(self, paths: list[str]) -> None:
        super().__init__(paths)
        self._cache = self._read

    @instance_cache  # type: ignore[untyped-decorator]  # botocore has no types
    def load_service_model(self, service_name: str, type_name: str, api_version: str | None = None) -> JsonObject:
        return super().load_service_model(service_name, type_name, api_version)


@pytest.fixture(scope="module")
def moto() -> Iterator[Moto]:
    """One server for the tests of a file, without the thousand images that moto would make for each."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MOTO_EC2_LOAD_DEFAULT_AMIS", "false")
        patch.setattr("botocore.session.create_loader", _tables)
        patch.setattr("moto.eks.models.validate_role_arn", _is_role)
        server = Moto()
        yield server
        server.stop()


@asynccontextmanager
async def aws(moto: Moto, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[AwsFront]:
    """AWS with one cluster, and an environment in which the SDK and the provider find it."""
    front = AwsFront(moto.url, await asyncio.to_thread(moto.make_cluster))
    async with front.run() as url:
        environment = {
            "AWS_ENDPOINT_URL": url,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_REGION": REGION,
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": "/nonexistent/config",
            "AWS_SHARED_CREDENTIALS_FILE": "/nonexistent/credentials",
            "KAITOBUS_AWS_CLUSTER": front.cluster,
            "KAITOBUS_AWS_SUBNETS": ",".join(moto.subnets),
            "KAITOBUS_AWS_NODE_ROLE": moto.role,
            # What a test changes behind the back of the provider is to be seen at once.
            "KAITOBUS_AWS_LIST_SECONDS": "0",
            "KAITOBUS_AWS_REST_SECONDS": "0",
        }
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr("services.provisioner.providers.aws.models.LeanLoader", _LeanTables)
        yield front

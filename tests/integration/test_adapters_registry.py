"""Adapters from a registry: what is prepared for the engine, or what is said."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from services.inference.adapters.process import prepare_apart
from services.inference.adapters.wanted import AdapterError
from services.inference.oci.client import Registry
from services.inference.oci.credentials import Credentials
from services.inference.oci.names import Kind
from services.inference.oci.push import push
from services.inference.oci.reference import parse_reference
from tests.integration.adapters_place import SMALL, Place, place
from tests.lora.files import write_adapter
from tests.registry.binary import registry_binary
from tests.registry.server import PASSWORD, USER, RegistryServer, docker_config

__all__ = ["place"]


@pytest.fixture
async def registry(tmp_path: Path) -> AsyncIterator[RegistryServer]:
    server = RegistryServer(await registry_binary(), tmp_path / "registry", passwords=True)
    yield server.start()
    server.kill()


@pytest.fixture
def pushed(place: Place, registry: RegistryServer) -> Callable[[Path], str]:
    """Pushes a folder, and gives the digest; the pod has the password."""
    (place.secret / ".dockerconfigjson").write_text(docker_config(registry.host))

    def one(folder: Path) -> str:
        with Registry(parse_reference(f"{registry.host}/a:v1"), Credentials(USER, PASSWORD)) as client:
            return push(client, folder, Kind.ADAPTER).digest

    return one


class TestRegistry:
    """An image or artifact."""

    def test_it_is_pulled_with_the_secret_and_told_by_its_digest(
        self, place: Place, registry: RegistryServer, pushed: Callable[[Path], str]
    ) -> None:
        digest = pushed(write_adapter(place.folder / "made", SMALL))
        image = f"{registry.host}/a:v1"
        assert place.prepared(image=image, pullSecrets=["registry"]).digest == digest
        assert place.prepared(image=f"{registry.host}/a@{digest}", pullSecrets=["registry"]).digest == digest

    def test_without_the_secret_it_is_said_what_is_missing(
        self, place: Place, registry: RegistryServer, pushed: Callable[[Path], str]
    ) -> None:
        pushed(write_adapter(place.folder / "made", SMALL))
        assert "without credentials" in place.refused(image=f"{registry.host}/a:v1")
        assert "not mounted yet" in place.refused(image=f"{registry.host}/a:v1", pullSecrets=["other"])

    def test_a_digest_that_is_not_there_is_told(
        self, place: Place, registry: RegistryServer, pushed: Callable[[Path], str]
    ) -> None:
        pushed(write_adapter(place.folder / "made", SMALL))
        other = f"{registry.host}/a@sha256:{'0' * 64}"
        assert "0000" in place.refused(image=other, pullSecrets=["registry"])

    def test_bytes_that_were_changed_in_the_registry_are_never_used(
        self, place: Place, registry: RegistryServer, pushed: Callable[[Path], str]
    ) -> None:
        pushed(write_adapter(place.folder / "made", SMALL))
        blobs = [path for path in (registry.blob_file("sha256:00").parents[2]).rglob("data") if path.is_file()]
        for blob in blobs:
            content = blob.read_bytes()
            blob.write_bytes(content.replace(b"lora_A", b"lora_X"))
        assert "not those that the digest names" in place.refused(
            image=f"{registry.host}/a:v1", pullSecrets=["registry"]
        )

    async def test_the_process_is_killed_when_nobody_waits_any_more(self, place: Place) -> None:
        """As when the adapter is taken from the list while its registry does not answer."""
        before = _children()
        async with asyncio.timeout(30):
            silent = await asyncio.start_server(lambda *_: asyncio.sleep(3600), "127.0.0.1", 0)
            port = silent.sockets[0].getsockname()[1]
            task = asyncio.create_task(prepare_apart(place.job(image=f"127.0.0.1:{port}/a:v1")))
            while not (children := _children() - before):
                await asyncio.sleep(0.01)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert not children & _children()
            silent.close()

    async def test_a_registry_that_dies_is_told_and_the_next_try_brings_it(
        self, place: Place, registry: RegistryServer, pushed: Callable[[Path], str]
    ) -> None:
        digest = pushed(write_adapter(place.folder / "made", SMALL))
        job = place.job(image=f"{registry.host}/a:v1", pullSecrets=["registry"])
        registry.kill()
        with pytest.raises(AdapterError, match="does not answer"):
            await prepare_apart(job)
        registry.start()
        assert (await prepare_apart(job)).digest == digest


def _children() -> set[int]:
    """The processes that this one has started and that still run."""
    return {int(pid) for pid in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()}

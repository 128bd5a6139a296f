"""What the tests of the hub share: a small hub, a client of it, and what is read or fails."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from pydantic import SecretStr

from services.scheduler.architectures import load_architectures
from services.scheduler.facts import ModelFacts
from services.scheduler.hub.client import HubClient
from services.scheduler.hub.errors import HubError
from services.scheduler.hub.fetch import fetch
from services.scheduler.hub.model_facts import model_facts
from tests.hub.models import Repo, single, text
from tests.hub.server import Hub


@pytest.fixture
async def hub() -> AsyncIterator[Hub]:
    """On this machine, with nothing in it."""
    async with Hub() as hub:
        yield hub


@pytest.fixture
async def client(hub: Hub) -> AsyncIterator[HubClient]:
    """A client of it."""
    async with HubClient(hub.url) as client:
        yield client


async def read(
    client: HubClient, model: str, token: SecretStr | None = None, revision: str | None = None
) -> ModelFacts:
    """What is known of a model once the hub was asked."""
    return model_facts(await fetch(client, model, revision, token), load_architectures())


async def trouble(client: HubClient, model: str, token: SecretStr | None = None) -> HubError:
    """What is said when it cannot be read."""
    with pytest.raises(HubError) as caught:
        await read(client, model, token)
    return caught.value


def without(name: str, **files: object) -> Repo:
    """The model in one file without one of its files, or with others; `__` is a point."""
    repo = single()
    repo.files.pop(name, None)
    repo.files.update({key.replace("__", "."): text(content) for key, content in files.items()})
    return repo

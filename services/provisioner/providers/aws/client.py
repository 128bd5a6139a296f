"""The AWS SDK, which blocks, for a loop that must not be: each request runs in one of a few threads of its own."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Literal

from botocore.client import BaseClient
from botocore.config import Config
from botocore.session import Session

from services.provisioner.providers.aws.errors import SDK_ERRORS, as_provider_error
from services.provisioner.providers.aws.models import lean_session
from services.provisioner.providers.aws.settings import AwsSettings
from services.provisioner.providers.aws.standing import Standing

Service = Literal["eks", "ec2"]


class AwsClient:
    """EKS and EC2 in one region.

    A cloud that is silent keeps these threads busy, and no others; the SDK's own time-outs set them free.
    """

    def __init__(self, settings: AwsSettings) -> None:
        self._region = settings.region
        self._config = Config(
            connect_timeout=settings.request_seconds,
            read_timeout=settings.request_seconds,
            retries={"mode": "standard", "total_max_attempts": 2},
            max_pool_connections=settings.threads,
            user_agent_extra="kaitobus",
        )
        self._pool = ThreadPoolExecutor(settings.threads, thread_name_prefix="aws")
        self._making = threading.Lock()
        self._session: Session | None = None
        self._clients: dict[Service, BaseClient] = {}
        self.standing = Standing()

    def close(self) -> None:
        """Give up the threads; what they are at ends with the SDK's own time-outs."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def eks(self, operation: str, **arguments: object) -> dict[str, object]:
        """One request to EKS, by the SDK's name of it. Raises `AwsError`."""
        with self.standing.noted(operation):
            return await self._call("eks", operation, arguments)

    async def ec2(self, operation: str, **arguments: object) -> dict[str, object]:
        """One request to EC2, by the SDK's name of it. Raises `AwsError`."""
        return await self._call("ec2", operation, arguments)

    async def _call(self, service: Service, operation: str, arguments: dict[str, object]) -> dict[str, object]:
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._pool, self._blocking, service, operation, arguments)
        except SDK_ERRORS as error:
            raise as_provider_error(error) from error

    def _blocking(self, service: Service, operation: str, arguments: dict[str, object]) -> dict[str, object]:
        answer: dict[str, object] = getattr(self._client(service), operation)(**arguments)
        return answer

    def _client(self, service: Service) -> BaseClient:
        """Made on first use, in the thread: reading the SDK's tables takes a while. Sessions are not thread-safe."""
        with self._making:
            if service not in self._clients:
                self._session = self._session or lean_session()
                self._clients[service] = self._session.create_client(service, self._region, config=self._config)
            return self._clients[service]

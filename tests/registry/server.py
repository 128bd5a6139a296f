"""The registry as a process on a free port of 127.0.0.1, with TLS and passwords where a test wants them."""

from __future__ import annotations

import base64
import json
import socket
import subprocess
import time
from pathlib import Path
from typing import Self

import yaml

USER, PASSWORD = "ann", "correct horse"
_HASH = "$2b$04$WWgg1t041rN6paNNrGd0Cu0mh1luZ64YM5F0m5R7ngP3Btucz75x6"
"""bcrypt of the password, cheap: it is checked at every request."""
START_LIMIT_S = 30.0


class RegistryServer:
    """One docker-registry, which can be killed and started again on the same port and files."""

    def __init__(
        self,
        binary: Path,
        folder: Path,
        *,
        certificate: tuple[Path, Path] | None = None,
        passwords: bool = False,
        auth: dict[str, object] | None = None,
    ) -> None:
        self._binary = binary
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = int(free.getsockname()[1])
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "htpasswd").write_text(f"{USER}:{_HASH}\n")
        tls = {"certificate": str(certificate[0]), "key": str(certificate[1])} if certificate else {}
        basic = {"htpasswd": {"realm": "tests", "path": str(folder / "htpasswd")}} if passwords else None
        config = {
            "version": 0.1,
            "log": {"level": "error", "accesslog": {"disabled": True}},
            "storage": {"filesystem": {"rootdirectory": str(folder / "data")}},
            "http": {"addr": self.host, **({"tls": tls} if tls else {})},
            **({"auth": auth or basic} if auth or basic else {}),
        }
        self._config = folder / "config.yml"
        self._config.write_text(yaml.safe_dump(config))

    @property
    def host(self) -> str:
        """Host and port, as references name it."""
        return f"127.0.0.1:{self.port}"

    def start(self) -> Self:
        """Start it, and return once it listens."""
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen([str(self._binary), "serve", str(self._config)], stdout=log, stderr=log)
        deadline = time.monotonic() + START_LIMIT_S
        while not self._listens():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError((self._folder / "log").read_text()[-2000:])
            time.sleep(0.02)
        return self

    def kill(self) -> None:
        """SIGKILL, as when its machine dies."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def blob_file(self, digest: str) -> Path:
        """Where it keeps a blob."""
        algorithm, _, digits = digest.partition(":")
        return self._folder / "data/docker/registry/v2/blobs" / algorithm / digits[:2] / digits / "data"

    def _listens(self) -> bool:
        with socket.socket() as probe:
            probe.settimeout(1)
            return probe.connect_ex(("127.0.0.1", self.port)) == 0


def docker_config(host: str, user: str = USER, password: str = PASSWORD) -> str:
    """A config.json with credentials, as `kubectl create secret docker-registry` writes it."""
    auth = base64.b64encode(f"{user}:{password}".encode()).decode()
    return json.dumps({"auths": {host: {"username": user, "password": password, "auth": auth}}})

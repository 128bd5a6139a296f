"""A hub with one model at one commit, as the hub's API describes it and hands it out."""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple

COMMIT = "a" * 40
FILES = {
    "config.json": b"{}",
    "model.safetensors": b"weights" * 1000,
    "tokenizer.json": b'{"a": 1}',
    "LICENSE": b"free",
    "consolidated.safetensors": b"the same weights in another format",
    "pytorch_model.bin": b"pickle",
    "modeling.py": b"print()",
    "onnx/model.safetensors": b"x",
}
_DESCRIBED = re.compile(rf"/api/models/org/model(/revision/(main|{COMMIT}))?(\?.*)?")
_TREE = re.compile(rf"/api/models/org/model/tree/{COMMIT}(\?.*)?")
_FILE = re.compile(rf"/org/model/resolve/{COMMIT}/(.+)")


class Answer(NamedTuple):
    """What is answered."""

    body: bytes = b""
    status: int = 200
    code: str = ""


@contextmanager
def served() -> Iterator[str]:
    """Serve it, and yield the address."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def answer(path: str) -> Answer:
    """What the hub says to a path."""
    if _DESCRIBED.fullmatch(path):
        siblings = [{"rfilename": name} for name in FILES]
        return Answer(json.dumps({"id": "org/model", "sha": COMMIT, "siblings": siblings}).encode())
    if _TREE.fullmatch(path):
        tree = [
            {"type": "file", "path": n, "size": len(b), "oid": hashlib.sha1(b).hexdigest()} for n, b in FILES.items()
        ]
        return Answer(json.dumps(tree).encode())
    if (found := _FILE.fullmatch(path)) and found[1] in FILES:
        return Answer(FILES[found[1]])
    known = path.startswith("/api/models/org/model/revision")
    return Answer(status=404, code="RevisionNotFound" if known else "RepoNotFound")


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.wfile.write(self._begin())

    def do_HEAD(self) -> None:
        self._begin()

    def _begin(self) -> bytes:
        found = answer(self.path)
        self.send_response(found.status)
        etag = f'"{hashlib.sha256(found.body).hexdigest()}"'
        headers = {"X-Repo-Commit": COMMIT, "ETag": etag, "X-Error-Code": found.code}
        for key, value in headers.items():
            if value:
                self.send_header(key, value)
        self.send_header("Content-Length", str(len(found.body)))
        self.end_headers()
        return found.body

    def log_message(self, *_: object) -> None:
        """Say nothing."""

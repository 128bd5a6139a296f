"""Keeps results in files, one for each key. Blocks."""

from __future__ import annotations

import logging
import secrets
from pathlib import Path

from pydantic import ValidationError

from services.inference.benchmark.result import Key, Result
from services.inference.logs import LOGGER

log = logging.getLogger(LOGGER)

LONGEST = 2**20


class Cache:
    """The results in a folder, for one key."""

    def __init__(self, folder: Path, key: Key) -> None:
        self._key = key
        self._path = folder / f"{key.digest()}.json"

    def load(self) -> Result | None:
        """The result. None where there is none, or where it cannot be read: then it is measured anew."""
        try:
            with self._path.open("rb") as opened:
                result = Result.model_validate_json(opened.read(LONGEST))
        except FileNotFoundError:
            return None
        except (OSError, ValidationError) as error:
            words = str(error).partition("\n")[0][:200]
            log.warning("the benchmark's result in %s cannot be read, it is measured anew: %s", self._path, words)
            return None
        return result if result.key == self._key else None

    def save(self, result: Result) -> None:
        """Write it, whole or not at all. A disk that is full costs only the next start a new measurement."""
        draft = self._path.with_suffix(f".{secrets.token_hex(4)}.draft")  # pods may share the folder
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            draft.write_text(result.model_dump_json(indent=1))
            draft.replace(self._path)
        except OSError as error:
            log.warning("the benchmark's result cannot be kept in %s: %s", self._path, error)

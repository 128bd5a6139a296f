"""Drops from the kept cache what a process that was killed has left half written, if the engine would stumble on it.

vLLM 0.32 writes two indexes in place, and does not start where one of them cannot be read: that of the compiled graphs
(`vllm/compilation/backends.py`: a Python literal) and that of the ways between GPUs (`all_reduce_utils.py`: JSON). What
else it keeps it writes aside first, or makes anew where it cannot be read. Without its index a graph is compiled anew.
"""

from __future__ import annotations

import ast
import json
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from services.inference.logs import LOGGER

log = logging.getLogger(LOGGER)

HOME_ENV: Final = "VLLM_CACHE_ROOT"
_INDEXES: Final[tuple[tuple[str, Callable[[str], object]], ...]] = (
    ("torch_compile_cache/*/rank_*/*/vllm_compile_cache.py", ast.literal_eval),
    ("gpu_p2p_access_cache_for_*.json", json.loads),
)


def drop_broken(home: str | None) -> list[Path]:
    """Remove the indexes below a folder that cannot be read, and return which. Never raises for what is there."""
    if not home:
        return []
    broken = list(_broken(Path(home)))
    for path in broken:
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            log.warning("%s cannot be read by the engine, and not be removed either: %s", path, error)
        else:
            log.warning("%s was half written, and is removed: what it lists is made anew", path)
    return broken


def _broken(home: Path) -> Iterator[Path]:
    for pattern, read in _INDEXES:
        for path in home.glob(pattern):
            try:
                whole = isinstance(read(path.read_text()), dict)
            except OSError:
                continue  # it went meanwhile, or the engine tells what is wrong with it
            except (ValueError, SyntaxError, MemoryError, RecursionError):
                whole = False
            if not whole:
                yield path

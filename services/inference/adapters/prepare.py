"""Fetches an adapter, checks it, and writes it as the engine is to load it. A process of its own.

python -m services.inference.adapters.prepare < job.json > answer.json

<home>/store    what came from registries, by digest; a download that broke off goes on from there
<home>/fetched  links to, or copies of, what came last under each name
<home>/ready    adapters as the engine loads them, by their content: the matrices, and a config with the strength
"""

from __future__ import annotations

import errno
import hashlib
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from services.inference.adapters.fetch import Fetched, fetch, forget
from services.inference.adapters.job import Answer, Base, Job, Prepared
from services.inference.adapters.lora_config import LONGEST, LoraConfig, check_base, read_config, weakened
from services.inference.adapters.shapes import check_fit, pairs
from services.inference.adapters.tensors import Shape, read_shapes
from services.inference.adapters.wanted import AdapterError
from services.inference.oci.errors import OciError
from services.inference.oci.store import made_whole
from services.inference.url_rules import UrlError

CONFIG: Final = "adapter_config.json"
MATRICES: Final = "adapter_model.safetensors"


def main() -> int:
    """Do the job on standard input, and answer on standard output; 0 if there is an answer."""
    try:
        job = Job.model_validate_json(sys.stdin.buffer.read())
    except ValidationError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    sys.stdout.write(answer(job).model_dump_json())
    return 0


def answer(job: Job) -> Answer:
    """Prepare, or say in words for a person why that cannot be done."""
    try:
        return Answer(prepared=prepare(job))
    except (AdapterError, OciError, UrlError) as error:
        return Answer(error=str(error))
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        return Answer(error="The disk is full." if full else f"Its files cannot be read or written: {error}.")


def prepare(job: Job) -> Prepared:
    """Fetch, check and write. Raises AdapterError, OciError, UrlError, OSError."""
    home = Path(job.home)
    fetched = fetch(job.adapter, job.mounts, home)
    try:
        config = read_config(_config_text(fetched.folder))
        check(config, fetched.folder, job.base)
    except AdapterError:
        forget(job.adapter, home)
        raise
    text = weakened(config, job.adapter.strength)
    digest, key = _digests(fetched, text)
    folder = home / "ready" / f"{job.adapter.name}-{key}"
    if not folder.exists():
        with made_whole(folder) as draft:
            shutil.copyfile(fetched.folder / MATRICES, draft / MATRICES)
            (draft / CONFIG).write_bytes(text)
    return Prepared(folder=str(folder), digest=digest, rank=config.rank)


def check(config: LoraConfig, folder: Path, base: Base) -> None:
    """Raises AdapterError if the adapter cannot be served beside the base model; OSError."""
    check_base(config, base.id)
    if not (folder / MATRICES).is_file():
        there = ", ".join(sorted(path.name for path in folder.iterdir()))[:300]
        raise AdapterError(
            f"There is no {MATRICES} in it, the name that PEFT gives an adapter's weights. It has {there}."
        )
    found = pairs(read_shapes(folder / MATRICES))
    rank = max(config.rank, *(pair.rank for pair in found.values()))
    if rank > base.max_rank:
        raise AdapterError(
            f"Its rank is {rank}, and the server has room for ranks up to {base.max_rank}. Set vllm.max-lora-rank to "
            f"{_room_for(rank)} in the ConfigMap that inference.config names; the server then starts anew."
        )
    check_fit(found, dict(model_shapes(base.folder)), base.id or "the model served here")


def model_shapes(folder: str | None) -> Iterator[tuple[str, Shape]]:
    """The tensors of the served model's safetensors files; none where they cannot be read."""
    for file in sorted(Path(folder).glob("*.safetensors")) if folder else ():
        try:
            yield from read_shapes(file).items()
        except AdapterError:
            continue  # the engine has loaded it, so the doubt is ours


def _config_text(folder: Path) -> bytes:
    with (folder / CONFIG).open("rb") as opened:
        return opened.read(LONGEST + 1)


def _digests(fetched: Fetched, config: bytes) -> tuple[str, str]:
    """What the adapter is told to be, and a key that differs wherever the engine would compute something else."""
    matrices = hashlib.sha256()
    with (fetched.folder / MATRICES).open("rb") as opened:
        while chunk := opened.read(2**20):
            matrices.update(chunk)
    effective = hashlib.sha256(matrices.digest() + hashlib.sha256(config).digest())
    return fetched.digest or f"sha256:{matrices.hexdigest()}", effective.hexdigest()[:16]


def _room_for(rank: int) -> int:
    """The smallest of the engine's own steps that has room for a rank (vllm.config.lora, MaxLoRARanks)."""
    return next((step for step in (8, 16, 32, 64, 128, 256, 320, 512) if step >= rank), rank)


if __name__ == "__main__":
    sys.exit(main())

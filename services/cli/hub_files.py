"""The files of a model on the Hugging Face hub that are packed: weights, configuration, tokenizer, at one commit."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from services.cli.errors import CliError
from services.inference.oci.errors import OciError
from services.inference.oci.names import Kind, is_wanted

_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")


class HubFiles(NamedTuple):
    """A folder of this machine with a model's files, and the commit that they are of."""

    folder: Path
    revision: str


def is_hub_id(text: str) -> bool:
    """Whether it may be a model's id: org/model."""
    return _ID.fullmatch(text) is not None


def wanted_files(names: Iterable[str], kind: Kind) -> list[str]:
    """The files that are fetched: those of the top folder that are let through, the weights in one format alone."""
    top = [name for name in names if "/" not in name and not name.startswith(".") and _is_wanted(kind, name)]
    plain = [name for name in top if name.endswith(".safetensors") and not name.startswith("consolidated")]
    return sorted(name for name in top if not (plain and name.startswith("consolidated")))


def fetch_files(model: str, revision: str | None, kind: Kind) -> HubFiles:
    """Fetch a model's files into the cache that the hub's own tools have. Raises CliError."""
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")  # read when it is imported
    from huggingface_hub import HfApi, snapshot_download
    from huggingface_hub.errors import GatedRepoError, HFValidationError, RepositoryNotFoundError, RevisionNotFoundError

    try:
        info = HfApi().model_info(model, revision=revision)
        if info.sha is None:
            raise CliError(f"The hub names no commit for {model}.")
        names = wanted_files([file.rfilename for file in info.siblings or ()], kind)
        if not any(name.endswith(".safetensors") for name in names):
            raise CliError(f"{model} has no safetensors on the hub, and nothing else is packed.")
        folder = snapshot_download(model, revision=info.sha, allow_patterns=[glob.escape(name) for name in names])
    except GatedRepoError as error:
        raise CliError(
            f"{model} is gated: accept its licence on the hub, and set HF_TOKEN to a token of yours."
        ) from error
    except RevisionNotFoundError as error:
        raise CliError(f"{model} has no revision {revision!r} on the hub.") from error
    except (RepositoryNotFoundError, HFValidationError) as error:
        raise CliError(
            f"There is neither a folder {model} here nor such a model on the hub, or it wants a token (HF_TOKEN)."
        ) from error
    except (OSError, ValueError, RuntimeError) as error:
        raise CliError(f"{model} could not be fetched from the hub: {' '.join(str(error).split())[:300]}") from error
    return HubFiles(Path(folder), info.sha)


def _is_wanted(kind: Kind, name: str) -> bool:
    """Pickles are no error here: they are left on the hub."""
    try:
        return is_wanted(kind, name)
    except OciError:
        return False

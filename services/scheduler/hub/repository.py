"""What the hub tells of a repository, and which of its files hold the weights that the engine loads. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from typing import Final, Literal

from pydantic import AliasPath, BaseModel, ConfigDict, Field, ValidationError

from services.scheduler.hub.errors import HubError, unusable
from services.scheduler.hub.model_id import is_commit

CONFIG: Final = "config.json"
INDEX: Final = "model.safetensors.index.json"
SINGLE: Final = "model.safetensors"
MOST_FILES: Final = 1024
"""More files of weights than this no model has; the largest have some 200."""
_SUFFIX: Final = ".safetensors"
_OTHER_FORMATS: Final = (".bin", ".pt", ".pth", ".gguf", ".onnx", ".h5", ".msgpack", ".npz", ".nemo")
_PLACE: Final = re.compile(rb':\s*"([^"\\]{1,512}\.safetensors)"')
"""The value in an index that says where a tensor is."""
_SHARD: Final = re.compile(r"(?P<stem>.+)-\d{5}-of-\d{5}\.safetensors")


class File(BaseModel):
    """One file of a repository, by its path there; `size` in bytes."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    name: str = Field(alias="rfilename")
    size: int | None = None


class Repository(BaseModel):
    """A repository at one commit, as the hub describes it (GET /api/models/ID/revision/REVISION?blobs=true)."""

    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True)

    id: str = Field(max_length=256)
    revision: str = Field(alias="sha")
    private: bool = False
    gated: Literal["auto", "manual"] | bool = False
    license: str | list[str] | None = Field(default=None, validation_alias=AliasPath("cardData", "license"))
    files: tuple[File, ...] = Field(alias="siblings", default=())

    @property
    def names(self) -> frozenset[str]:
        """The paths of all files."""
        return frozenset(file.name for file in self.files)

    @property
    def open(self) -> bool:
        """Whether everybody may read it, without a token."""
        return not (self.private or self.gated)


def read_repository(text: bytes | bytearray, asked: str) -> Repository:
    """Read the hub's answer. Raises HubError if it cannot be read, or names no commit."""
    try:
        found = Repository.model_validate(json.loads(text))
    except (ValidationError, ValueError, RecursionError) as error:
        raise unusable(f"What the hub says of {asked} cannot be read: {_first_line(error)}.") from error
    if not is_commit(found.revision):
        raise unusable(f"The hub names no commit for {asked}, so its files could change while it is served.")
    return found


def weight_files(names: Iterable[str]) -> tuple[str, ...]:
    """The files whose tensors the engine loads, where there is no index: one set of them, top folder only.

    Side folders (`original/`, `onnx/`) and second copies of the weights under another name (`consolidated*`, a
    variant such as `model.fp16`) are left out. Empty where there are none.
    """
    found = sorted(name for name in names if name.endswith(_SUFFIX) and "/" not in name)
    plain = [name for name in found if not name.startswith(("consolidated", "adapter_"))]
    if SINGLE in plain:
        return (SINGLE,)
    shards = [name for name in plain if (match := _SHARD.fullmatch(name)) and match["stem"] == "model"]
    return tuple(shards or plain or [name for name in found if name.startswith("consolidated")])


def indexed_files(text: bytes | bytearray, names: frozenset[str]) -> tuple[str, ...]:
    """The files that an index names. Raises HubError if it is cut short, or leads to what is not there.

    It is searched and not parsed: the index of a large mixture of experts has 15 MB, and would take 60 as a map.
    """
    whole = text[:64].lstrip()[:1] == b"{" and text[-64:].rstrip()[-1:] == b"}"
    files = sorted({match[1].decode(errors="replace") for match in _PLACE.finditer(text)}) if whole else []
    if not files:
        raise unusable(f"{INDEX} does not say in which file each tensor is.")
    outside = [name for name in files if name not in names]
    if outside:
        raise unusable(f"{INDEX} leads to {_shown(outside[0])}, which is no file of the repository.")
    return tuple(files)


def no_weights(repository: Repository) -> HubError:
    """Why a repository without weights that can be sized is refused."""
    names = repository.names
    if "adapter_config.json" in names:
        return unusable(
            f"{repository.id} is an adapter, not a model: name its base model as preset, and it under adapters."
        )
    others = sorted({suffix for name in names for suffix in _OTHER_FORMATS if name.endswith(suffix)})
    if others:
        return unusable(
            f"{repository.id} has its weights only as {', '.join(others)}. This version serves safetensors: name a "
            "repository that has them."
        )
    return unusable(f"{repository.id} has no weights: no file there ends in {_SUFFIX}.")


def no_config(repository: Repository) -> HubError:
    """Why a repository without `config.json` is refused."""
    if "adapter_config.json" in repository.names:
        return no_weights(repository)
    if "params.json" in repository.names:
        return unusable(
            f"{repository.id} is in Mistral's own format alone (params.json without {CONFIG}). Name the repository of "
            "the same model that has both, or a preset of the catalogue."
        )
    if any(name.endswith(".gguf") for name in repository.names):
        return no_weights(repository)
    return unusable(f"{repository.id} has no {CONFIG}, so it is not known how the model is built.")


def download_bytes(repository: Repository, loaded: int) -> int:
    """Bytes that the engine downloads: all safetensors files of the top folder, second copies too."""
    sizes: Sequence[int | None] = [
        file.size for file in repository.files if file.name.endswith(_SUFFIX) and "/" not in file.name
    ]
    known = [size for size in sizes if size is not None]
    return max(loaded, sum(known)) if len(known) == len(sizes) else loaded


def _shown(text: str) -> str:
    return repr(text if len(text) <= 80 else f"{text[:77]}...")


def _first_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]

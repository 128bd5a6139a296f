"""Reads manifests as they would be applied: Workspaces, with the ConfigMaps beside them. Asks nobody."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import yaml
from pydantic import ValidationError

from services.chassis.kube.objects import JsonObject, dig_dict, dig_dicts, dig_str
from services.contracts.messages import WorkspaceState
from services.contracts.workspace import CONFIG_KEY_INFERENCE, CONFIG_KEY_TUNING, GROUP
from services.scheduler.engine_config import is_deep
from services.watcher.validate import find_problem
from services.watcher.workspace import Workspace, read

LARGEST_FILE = 4 * 2**20
"""Characters that are read of a file; the API server takes no object of more than 1.5 MiB."""
DEEPEST = 100
"""Lists and maps within each other that are read: with some thousands PyYAML takes minutes."""
_APPLIED_NEVER = datetime(2026, 1, 1, tzinfo=UTC)
"""Stands for the time at which the API server would take in the manifest."""

_CONFIG_KEYS = (CONFIG_KEY_INFERENCE, CONFIG_KEY_TUNING)


class Manifest(NamedTuple):
    """A Workspace of a file. `problem` says what is wrong with it; `notes` what a reader should know."""

    where: str
    state: WorkspaceState | None
    problem: str | None = None
    notes: tuple[str, ...] = ()


class BadFile(Exception):
    """A file that cannot be read as manifests; the message says why, and what to change."""


def read_manifests(name: str) -> list[Manifest]:
    """The Workspaces of a file, in its order; `-` is standard input. Raises BadFile."""
    documents = list(_objects(read_documents(name)))
    configs = {_key(d): dig_dict(d, "data") for d in documents if dig_str(d, "kind") == "ConfigMap"}
    found = [_manifest(d, configs) for d in documents if _is_workspace(d)]
    if not found:
        kinds = ", ".join(sorted({dig_str(d, "kind") or "no kind" for d in documents})) or "nothing"
        raise BadFile(f"{_called(name)} holds no Workspace of {GROUP}, but {kinds}.")
    return found


def _called(name: str) -> str:
    return "Standard input" if name == "-" else name


def _text(name: str) -> str:
    try:
        if name == "-":
            text = sys.stdin.read(LARGEST_FILE + 1)
        else:
            with Path(name).open(encoding="utf-8") as file:
                text = file.read(LARGEST_FILE + 1)
    except (OSError, ValueError) as error:
        said = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise BadFile(f"{_called(name)} cannot be read: {said}.") from error
    if len(text) > LARGEST_FILE:
        raise BadFile(f"{_called(name)} is larger than {LARGEST_FILE // 2**20} MiB.")
    return text


def read_documents(name: str) -> list[object]:
    """The YAML documents of a file; `-` is standard input. Raises BadFile.

    Aliases are refused: a few lines of them can stand for more than any memory holds.
    """
    text = _text(name)
    try:
        if is_deep(text, DEEPEST):
            raise BadFile(
                f"{_called(name)} has more than {DEEPEST} lists and maps within each other. Is a bracket not closed?"
            )
        if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, Loader=yaml.CSafeLoader)):
            raise BadFile(f"{_called(name)} uses YAML aliases (*name): write out what they stand for.")
        return list(yaml.load_all(text, Loader=yaml.CSafeLoader))
    except (yaml.YAMLError, ValueError, RecursionError, ArithmeticError, LookupError, AttributeError) as error:
        # PyYAML raises the latter for values of a type that they are not, such as the date 2001-99-99.
        raise BadFile(f"{_called(name)} is not YAML: {' '.join(str(error).split())[:300]}.") from error


def _objects(documents: Sequence[object]) -> Iterator[JsonObject]:
    """All objects, those of lists one by one."""
    for document in documents:
        if not isinstance(document, dict):
            continue
        if dig_str(document, "kind").endswith("List"):
            yield from dig_dicts(document, "items")
        else:
            yield document


def _is_workspace(document: JsonObject) -> bool:
    return dig_str(document, "kind") == "Workspace" and dig_str(document, "apiVersion").startswith(f"{GROUP}/")


def _key(document: JsonObject) -> tuple[str, str]:
    return (dig_str(document, "metadata", "namespace") or "default", dig_str(document, "metadata", "name"))


def _manifest(document: JsonObject, configs: Mapping[tuple[str, str], JsonObject]) -> Manifest:
    namespace, name = _key(document)
    where = f"{namespace}/{name or '(no name)'}"
    workspace, problem = _read(document, namespace)
    if workspace is None or workspace.spec is None or problem:
        return Manifest(where, None, problem)
    config = configs.get((namespace, workspace.spec.config)) if workspace.spec.config else {}
    notes = () if config is not None else (_without(workspace.spec.config),)
    texts = {key: str(text) for key, text in (config or {}).items() if key in _CONFIG_KEYS}
    state = WorkspaceState(
        namespace=namespace, name=name, uid=workspace.metadata.uid, generation=1, resource_version="",
        spec=workspace.spec, annotations=workspace.metadata.annotations, configs=texts, created_at=_APPLIED_NEVER,
    )  # fmt: skip
    return Manifest(where, state, notes=notes)


def _read(document: JsonObject, namespace: str) -> tuple[Workspace | None, str | None]:
    """The Workspace as the watcher would read it, and what it would say is wrong. A status in the file is of before."""
    given = dig_dict(document, "metadata")
    kept = {key: given[key] for key in ("name", "annotations") if given.get(key) is not None}
    metadata = {"name": "", **kept, "namespace": namespace, "uid": "not-applied", "creationTimestamp": _APPLIED_NEVER}
    try:
        workspace = read({**{k: v for k, v in document.items() if k != "status"}, "metadata": metadata})
    except ValidationError as error:
        first = error.errors()[0]
        return None, f"metadata.{'.'.join(str(part) for part in first['loc'])}: {first['msg']}."
    problem = find_problem(workspace)
    return workspace, problem.message if problem else None


def _without(name: str | None) -> str:
    return f"ConfigMap {name} is not in the file: planned with the engine's defaults."

"""The user's engine settings: the ConfigMap that `inference.config` names, key `inference_config.yaml`. Pure.

The map under `vllm` holds flags of vLLM by name; they win over what is planned, but for those that the
plan must decide itself, because nodes and GPUs are bought by them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import yaml
from pydantic import Field

from services.contracts.base import Contract
from services.contracts.workspace import CONFIG_KEY_INFERENCE

LONGEST_NUMBER = 15
"""Digits of the largest whole number that is read; no model has so long a context."""

LONGEST_TEXT = 32_768
"""Characters that are read; to read more would hold up the plans of others."""

MOST_WRITTEN_OUT = 2 * LONGEST_TEXT
"""Characters with aliases written out: a plan repeats them, and must fit into a message."""

DEEPEST = 50
"""Lists and maps within each other that are read; PyYAML takes seconds for what is nested some thousands deep."""

DECIDED_BY_PLAN = frozenset(
    {
        "model",
        "served-model-name",
        "host",
        "port",
        "tensor-parallel-size",
        "pipeline-parallel-size",
        "data-parallel-size",
        "api-key",
    }
)


ON_BY_DEFAULT = ("enable-prefix-caching", "enable-chunked-prefill", "async-scheduling")
"""Switches that are on where nothing is said."""


class EngineConfig(Contract):
    """What the user set: the context length and utilisation, which sizing needs, and all other flags as text."""

    max_model_len: int | None = None
    gpu_memory_utilization: float | None = None
    flags: dict[str, str] = Field(default_factory=dict)


class BadConfig(Exception):
    """The ConfigMap's content cannot be used; the message says what to change."""


def read_config(configs: Mapping[str, str]) -> EngineConfig:
    """Read the settings. Raises BadConfig with a sentence for the user."""
    text = configs.get(CONFIG_KEY_INFERENCE)
    if text is None:
        return EngineConfig()
    flags = _flags(_parse(text))
    decided = sorted(DECIDED_BY_PLAN & flags.keys())
    if decided:
        raise BadConfig(f"{CONFIG_KEY_INFERENCE}: remove {', '.join(decided)} from vllm: the plan decides it.")
    return EngineConfig(
        max_model_len=_whole(flags.pop("max-model-len", None), "max-model-len"),
        gpu_memory_utilization=_share(flags.pop("gpu-memory-utilization", None), "gpu-memory-utilization"),
        flags=flags,
    )


def read_yaml(key: str, text: str) -> object:
    """What the text under a ConfigMap's key holds. Raises BadConfig."""
    if len(text) > LONGEST_TEXT:
        raise BadConfig(f"{key} has {len(text)} characters; at most {LONGEST_TEXT} are read.")
    try:
        if is_deep(text, DEEPEST):
            raise BadConfig(f"{key} is nested too deep to be read: at most {DEEPEST} lists and maps within each other.")
        if written_out(yaml.compose(text, Loader=yaml.CSafeLoader), {}) > MOST_WRITTEN_OUT:
            raise BadConfig(f"{key} has more than {MOST_WRITTEN_OUT} characters with its aliases written out.")
        return yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, ArithmeticError, LookupError, AttributeError) as error:
        # PyYAML raises the latter for values of a type that they are not, such as the date 2001-99-99.
        raise BadConfig(f"{key} is not YAML: {_first_line(error)}") from error


def is_deep(text: str, deepest: int) -> bool:
    """Whether more lists and maps than that are within each other. Raises yaml.YAMLError for what is no YAML."""
    depth = 0
    for event in yaml.parse(text, Loader=yaml.CSafeLoader):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > deepest:
            return True
    return False


def written_out(node: yaml.Node | None, known: dict[int, float]) -> float:
    """Characters of all texts in a node, and one for each node, with aliases written out; infinite for a node within
    itself. `known` are those of the nodes that were met before, by their ids.
    """
    if node is not None and id(node) not in known:
        known[id(node)] = math.inf
        inner = (part for item in node.value for part in (item if isinstance(item, tuple) else (item,)))
        texts = len(node.value) if isinstance(node, yaml.ScalarNode) else sum(written_out(n, known) for n in inner)
        known[id(node)] = 1 + texts
    return known[id(node)] if node is not None else 0


def _parse(text: str) -> Mapping[object, object]:
    content = read_yaml(CONFIG_KEY_INFERENCE, text)
    vllm = content.get("vllm", {}) if isinstance(content, dict) else content
    if content is None or vllm is None:
        return {}
    if not isinstance(content, dict) or not isinstance(vllm, dict):
        raise BadConfig(f"{CONFIG_KEY_INFERENCE} must hold a map named vllm, with vLLM's flags by name.")
    return vllm


def _first_line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]


def _flags(raw: Mapping[object, object]) -> dict[str, str]:
    """Flags by their names with dashes; true is a switch, false and null leave the flag out.

    What vLLM does by default is switched off by a flag of its own.
    """
    named = {_text("a flag's name", name).lstrip("-").replace("_", "-"): value for name, value in raw.items()}
    off = {f"no-{name}": True for name in ON_BY_DEFAULT if named.get(name) is False}
    given = {name: value for name, value in named.items() if value is not None and value is not False}
    return {name: _text(name, value) for name, value in (given | off).items()}


def _text(name: str, value: object) -> str:
    if value is True:
        return ""
    if isinstance(value, (str, int, float)):
        return _plain(name, value)
    raise BadConfig(
        f"{CONFIG_KEY_INFERENCE}: vllm.{name} must be a text, a number or true/false; write maps as JSON text."
    )


def _plain(name: str, value: str | float) -> str:
    """As text that a command line can carry: without NUL, and without the halves of a character that is none."""
    try:
        text = str(value)
        text.encode()
    except ValueError as error:  # also for a whole number of more than 4300 digits
        raise BadConfig(f"{CONFIG_KEY_INFERENCE}: vllm.{name.encode(errors='replace').decode()}: {error}.") from error
    if "\0" in text:
        raise BadConfig(f"{CONFIG_KEY_INFERENCE}: vllm.{name} holds a NUL, which a command line cannot carry.")
    return text


def _whole(text: str | None, name: str) -> int | None:
    if text is None or text == "auto":
        return None
    if not (text.isdecimal() and len(text) <= LONGEST_NUMBER and int(text) > 0):
        raise BadConfig(f"{CONFIG_KEY_INFERENCE}: vllm.{name} must be a whole number above 0; it is {text[:40]!r}.")
    return int(text)


def _share(text: str | None, name: str) -> float | None:
    if text is None:
        return None
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value <= 1:
        raise BadConfig(f"{CONFIG_KEY_INFERENCE}: vllm.{name} must be above 0 and at most 1; it is {text!r}.")
    return value

"""Any config.json gives shapes that can be sized, or a plain reason: never a traceback, never a plan that lies."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.scheduler.config_json import read_config_json
from services.scheduler.facts import ModelFacts
from services.scheduler.memory import GIB
from services.scheduler.memory_weights import stored_bytes
from services.scheduler.parallelism import Interconnect
from services.scheduler.shapes import NoShapes, Shapes
from services.scheduler.sizing import DoesNotFit, Machine, Sizing, Wish, size

CONFIGS = [json.loads(path.read_text()) for path in sorted(Path("tests/data/configs").glob("*.json"))]
MUTATIONS = 4_000
ODD: tuple[object, ...] = (
    None, True, False, 0, 1, -1, 2, 3, 7, 64, 4096.0, 0.5, 2**31, 2**31 + 1, 10**40, -(10**40), float("nan"),
    float("inf"), "", "auto", "sixteen", "\x1b[31m", [], [0], [1, 2, 3], ["full_attention"], [None], {}, {"a": 1},
    {"quant_method": "fp8"}, {"config_groups": {"g": 1}}, {"factor": -1, "rope_type": "yarn"},
)  # fmt: skip
INTERCONNECTS: tuple[Interconnect | None, ...] = (None, "pcie")
MACHINES = [
    Machine(gpus=gpus, gpu_memory_gib=memory, cuda_compute_capability=9.0, interconnect=joined)
    for gpus in (1, 2, 3, 8)
    for memory in (15.0, 22.0, 79.1, 139.8)
    for joined in INTERCONNECTS
]


def mutated(chance: Random) -> dict[str, object]:
    """A public configuration with some of its fields lost, or given values that mean nothing."""
    config: dict[str, object] = copy.deepcopy(chance.choice(CONFIGS))
    for _ in range(chance.randint(1, 4)):
        inner = [value for value in config.values() if isinstance(value, dict) and value]
        part = chance.choice(inner) if inner and chance.random() < 0.3 else config
        if not part:
            break
        name = chance.choice(sorted(part))
        if chance.random() < 0.4:
            del part[name]
        else:
            part[name] = chance.choice([*ODD, chance.randint(-(2**40), 2**40), chance.randint(1, 5000)])
    return config


def wish(chance: Random) -> Wish:
    return Wish(
        context=chance.choice([None, None, chance.randint(1, 300_000)]),
        concurrency=chance.choice([None, None, chance.randint(1, 500)]),
        batched=chance.choice([None, chance.randint(1, 40_000)]),
        cache_dtype=chance.choice([None, "auto", "fp8"]),
        adapters=chance.randint(0, 4),
    )


def facts(config: dict[str, object], shapes: Shapes) -> ModelFacts:
    """As the facts of a model whose weights are as large as its shapes say."""
    heads = shapes.attention
    return ModelFacts(
        id="org/mutated", license="none", weights_gib=max(0.01, stored_bytes(shapes) / GIB), disk_gib=100,
        context=shapes.context, architecture=shapes.architecture, layers=shapes.layers,
        heads=heads.heads if heads else 1, kv_heads=heads.kv_heads if heads else 1,
        head_dim=heads.head_dim if heads else 1, config=config,
    )  # fmt: skip


@pytest.mark.timeout(600)
def test_mutated_configurations_give_a_plain_reason_or_a_sane_plan() -> None:
    planned = 0
    for seed in range(MUTATIONS):
        chance = Random(seed)
        planned += check(mutated(chance), chance.choice(MACHINES), wish(chance), seed)
    assert planned > MUTATIONS // 10  # else the test would prove little


def check(config: dict[str, object], machine: Machine, wished: Wish, seed: int) -> bool:
    """Whether there is a plan; the seed is in what pytest shows when one of these fails."""
    shapes = read_config_json(config)
    if isinstance(shapes, NoShapes):
        assert is_sentence(shapes.reason), seed
        return False
    sizing = size(facts(config, shapes), machine, wished)
    if isinstance(sizing, DoesNotFit):
        assert is_sentence(sizing.reason), seed
        return False
    assert_sane(sizing, shapes, machine, wished)
    return True


def is_sentence(text: str) -> bool:
    return text.endswith(".") and len(text) < 1000 and text.isprintable()


def assert_sane(sizing: Sizing, shapes: Shapes, machine: Machine, wish: Wish) -> None:
    assert 0 < sizing.max_model_len <= shapes.context
    assert sizing.kv_tokens >= sizing.max_model_len
    assert sizing.max_model_len == (wish.context or sizing.max_model_len)
    assert sizing.concurrency >= (wish.concurrency or 1)
    taken = sizing.weights_gib + sizing.activation_gib + sizing.non_torch_gib + sizing.kv_cache_gib
    assert taken <= (sizing.utilization or 0) * machine.gpu_memory_gib
    assert sizing.gpus_per_node <= machine.gpus


scalars = st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=20)
contents = st.recursive(
    scalars, lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=5), inner), max_leaves=20
)


@settings(deadline=None)
@given(contents)
def test_whatever_json_holds_there_is_an_answer(content: object) -> None:
    found = read_config_json(content)
    assert isinstance(found, Shapes) or is_sentence(found.reason)

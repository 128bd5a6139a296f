"""What must hold for any model on any machine."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from services.scheduler.catalog import load_catalogue
from services.scheduler.facts import ModelFacts
from services.scheduler.parallelism import divides
from services.scheduler.sizing import MAX_NODES, Machine, Sizing, Wish, size

models = st.sampled_from(load_catalogue().models)
gpu_nodes = st.builds(
    Machine,
    gpus=st.integers(1, 16),
    gpu_memory_gib=st.floats(1, 300),
    cuda_compute_capability=st.sampled_from([None, 7.0, 7.5, 8.0, 8.6, 9.0, 10.0]),
)
cpu_nodes = st.builds(Machine, memory_gib=st.floats(0, 2000))
machines = gpu_nodes | cpu_nodes
contexts = st.none() | st.integers(1, 2_000_000)


@given(models, machines, contexts)
def test_what_fits_has_a_cache_that_holds_its_context(model: ModelFacts, machine: Machine, context: int | None) -> None:
    sizing = size(model, machine, Wish(context=context))
    if isinstance(sizing, Sizing):
        assert sizing.kv_tokens >= sizing.max_model_len > 0
        assert sizing.max_model_len <= model.context
        assert context is None or sizing.max_model_len == context
        assert sizing.kv_cache_gib > 0
        assert sizing.memory_gib <= sizing.total_gib
        assert sizing.prediction().kv_tokens > 0


@given(models, gpu_nodes, contexts)
def test_the_cut_is_legal_and_within_the_machine(model: ModelFacts, machine: Machine, context: int | None) -> None:
    sizing = size(model, machine, Wish(context=context))
    if isinstance(sizing, Sizing):
        assert divides(model.shapes, sizing.tensor_parallel)
        assert sizing.pipeline_parallel <= model.layers
        assert 1 <= sizing.gpus_per_node <= machine.gpus
        assert 1 <= sizing.nodes <= MAX_NODES
        replica = sizing.tensor_parallel * sizing.pipeline_parallel
        assert replica * sizing.data_parallel == sizing.gpus_per_node * sizing.nodes


@given(models, machines, contexts, st.floats(0, 300))
def test_more_memory_never_needs_more_machines(
    model: ModelFacts, machine: Machine, context: int | None, more: float
) -> None:
    small = size(model, machine, Wish(context=context))
    changed = {"gpu_memory_gib": machine.gpu_memory_gib + more, "memory_gib": machine.memory_gib + more}
    large = size(model, machine.model_copy(update=changed), Wish(context=context))
    if isinstance(small, Sizing):
        assert isinstance(large, Sizing)
        assert large.nodes <= small.nodes
        if large.nodes == small.nodes:
            assert large.max_model_len >= small.max_model_len


@given(models, machines, contexts)
def test_the_same_question_gets_the_same_answer(model: ModelFacts, machine: Machine, context: int | None) -> None:
    assert size(model, machine, Wish(context=context)) == size(model, machine, Wish(context=context))

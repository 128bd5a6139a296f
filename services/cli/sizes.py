"""What `kaitobus size` asks and is answered. Pure."""

from __future__ import annotations

from typing import NamedTuple

from services.cli.errors import CliError
from services.cli.models import FoundModel
from services.scheduler.eight_bits import quantized
from services.scheduler.memory import GIB, GpuMemory, on_each_gpu
from services.scheduler.memory_cache import layout
from services.scheduler.memory_settings import LARGE_SEQUENCES, SEQUENCES, EngineLimits
from services.scheduler.parallelism import obstacle, splits
from services.scheduler.shapes import Shapes
from services.scheduler.sizing_limits import LARGE_GPU_GIB, LONG_STEP, SHORT_STEP
from services.scheduler.split import Split
from services.scheduler.unplanned import CACHE_DTYPES


class Question(NamedTuple):
    """The options of the command; None where the engine's default counts."""

    gpu_memory_gib: float
    gpus: int = 1
    utilization: float = 0.9
    batched: int | None = None
    sequences: int | None = None
    cache_dtype: str = "auto"
    max_model_len: int | None = None
    quantization: str | None = None
    adapters: int = 0
    adapter_rank: int = 16
    eager: bool = False


class Answer(NamedTuple):
    """The memory of each GPU, how the model is cut, and what is wrong where it does not fit."""

    model: str
    memory: GpuMemory
    split: Split
    limits: EngineLimits
    problem: str | None

    @property
    def concurrency(self) -> float:
        """Requests of the longest context that fit at once."""
        return self.memory.kv_tokens / self.memory.max_model_len if self.memory.max_model_len else 0.0


def answer(model: FoundModel, question: Question) -> Answer:
    """The prediction. Raises CliError for what no engine can do."""
    if question.cache_dtype not in CACHE_DTYPES:
        raise CliError(f"--kv-cache-dtype is {question.cache_dtype[:40]!r}; it is one of {', '.join(CACHE_DTYPES)}.")
    shapes, weights_gib = _quantized(model, question.quantization)
    split = _split(model.name, shapes, question.gpus)
    limits = _limits(question)
    if question.max_model_len and question.max_model_len > shapes.context:
        raise CliError(
            f"{model.name} reads at most {shapes.context} tokens, and --max-model-len is {question.max_model_len}."
        )
    memory = on_each_gpu(shapes, split, question.gpu_memory_gib, limits, question.max_model_len, weights_gib)
    cut = layout(shapes, split, limits.cache_dtype, limits.batched)
    nearest = cut.longest(memory.kv_cache_gib * GIB, shapes.context)
    return Answer(model.name, memory, split, limits, _problem(model.name, memory, question, nearest))


def _quantized(model: FoundModel, method: str | None) -> tuple[Shapes, float | None]:
    """The model with the weights that the engine makes of those that are stored."""
    if method is None:
        return model.shapes, model.weights_gib
    try:
        shapes, share = quantized(model.shapes, method)
    except ValueError as error:
        raise CliError(f"--quantization {method[:40]} is not known here; fp8 is.") from error
    return shapes, model.weights_gib and model.weights_gib * share


def _split(name: str, shapes: Shapes, gpus: int) -> Split:
    """One replica over all the GPUs."""
    found = [split for split in splits(shapes, gpus, 1) if split.gpus == gpus]
    if found:
        return found[0]
    why = obstacle(shapes, gpus)
    raise CliError(
        f"{name} cannot be cut over {gpus} GPUs: {f'{why} cannot be dealt out evenly' if why else 'use 1, 2, 4, 8'}."
    )


def _limits(question: Question) -> EngineLimits:
    large = question.gpu_memory_gib >= LARGE_GPU_GIB
    return EngineLimits(
        utilization=question.utilization,
        batched=question.batched or (LONG_STEP if large else SHORT_STEP),
        sequences=question.sequences or (LARGE_SEQUENCES if large else SEQUENCES),
        cache_dtype=question.cache_dtype,
        eager=question.eager,
        adapters=question.adapters,
        adapter_rank=question.adapter_rank,
    )


def _problem(name: str, memory: GpuMemory, question: Question, nearest: int) -> str | None:
    """Why the engine would not start, with the nearest that it would do."""
    if memory.kv_tokens >= memory.max_model_len > 0:
        return None
    if nearest > 0:
        return f"{name} holds no context of {memory.max_model_len} tokens there; the longest that fits is {nearest}."
    budget = question.utilization * question.gpu_memory_gib
    taken = memory.weights_gib + memory.activation_gib + memory.non_torch_gib
    return f"{name} does not fit: vLLM may use {budget:.1f} GiB of each GPU, and takes {taken:.1f} without any cache."

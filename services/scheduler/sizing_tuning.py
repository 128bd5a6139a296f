"""Whether a model can be tuned on a machine, and what that takes. Pure."""

from __future__ import annotations

from typing import Final

from services.contracts.tuning import TuningMemory
from services.scheduler.facts import ModelFacts
from services.scheduler.frozen import Facts
from services.scheduler.memory_tuning import needed_gib, tuning_memory
from services.scheduler.sizing_types import DoesNotFit, Machine
from services.scheduler.tuning_activations import Training
from services.tuning.sections import Dtype, TuningConfig

DEFAULT_LENGTH: Final = 1024
"""Tokens of an example at most where the user says nothing, as the pod has it."""
SAFE_SHARE: Final = 0.92
"""Part of a GPU's memory that is counted on: the allocator leaves gaps."""
_DEFAULT_TARGETS: Final = frozenset({"q_proj", "k_proj", "v_proj", "qkv_proj", "query_key_value", "c_attn", "Wqkv"})


class TuningSize(Facts):
    """How a model is tuned on one machine: with all of its GPUs, or without one."""

    gpus_per_node: int
    memory: TuningMemory
    length: int
    batch: int

    @property
    def memory_gib(self) -> float:
        """GiB that are taken of each GPU, or of the machine."""
        return needed_gib(self.memory)


def training_of(config: TuningConfig, context: int) -> Training:
    """What memory depends on, of the user's settings."""
    lora, given = config.lora, config.training
    targets = {lora.target_modules} if isinstance(lora.target_modules, str) else set(lora.target_modules or ())
    return Training(
        bits=config.quantization.bits,
        rank=lora.r,
        batch=given.per_device_train_batch_size,
        length=min(given.max_length or DEFAULT_LENGTH, context),
        optimizer=given.optim,
        checkpointing=given.gradient_checkpointing,
        everywhere=not targets <= _DEFAULT_TARGETS,
        eager=config.model.attn_implementation == "eager",
        held_out=given.per_device_eval_batch_size if config.dataset.train_test_split < 1 else 0,
        copied=config.model.torch_dtype is Dtype.FLOAT32 and bool(given.bf16 or given.fp16),
    )


def size_tuning(model: ModelFacts, machine: Machine, config: TuningConfig) -> TuningSize | DoesNotFit:
    """What it takes there; or that it does not fit, with the numbers and what would make it smaller."""
    training = training_of(config, model.context)
    training = training._replace(eager=training.eager or _without_kernel(model, machine, config))
    total = round(machine.gpu_memory_gib * SAFE_SHARE if machine.gpus else machine.memory_gib, 3)
    memory = tuning_memory(
        model.shapes, training, element_bytes=_element_bytes(config, machine), gpus=machine.gpus, total_gib=total,
        weights_gib=model.weights_gib if model.shapes.guessed else 0,
    )  # fmt: skip
    if needed_gib(memory) <= total:
        return TuningSize(gpus_per_node=machine.gpus, memory=memory, length=training.length, batch=training.batch)
    each = "on each GPU" if machine.gpus else "of memory without a GPU"
    return DoesNotFit(
        reason=f"Tuning {model.id} takes {needed_gib(memory):.1f} GiB {each} ({_parts(memory)}), and {total:.1f} can "
        f"be used.{_smaller(training)}"
    )


def _without_kernel(model: ModelFacts, machine: Machine, config: TuningConfig) -> bool:
    """Whether PyTorch fuses no attention whose heads share keys: it does so in 16 bits, and from Ampere on."""
    heads, capability = model.shapes.attention, machine.cuda_compute_capability
    if not machine.gpus or heads is None or heads.kv_heads == heads.heads:
        return False
    return _element_bytes(config, machine) == 4 or (capability is not None and capability < 8)


def _element_bytes(config: TuningConfig, machine: Machine) -> int:
    """2 where it is computed in 16 bits, as on GPUs; 4 in 32, as on CPUs unless the user says otherwise."""
    if config.model.torch_dtype is Dtype.AUTO:
        return 2 if machine.gpus else 4
    return 4 if config.model.torch_dtype is Dtype.FLOAT32 else 2


def _parts(memory: TuningMemory) -> str:
    return (
        f"{memory.weights_gib:.1f} for the weights, {memory.adapter_gib:.1f} for the adapter and its optimizer, "
        f"{memory.activation_gib:.1f} for activations, {memory.overhead_gib:.1f} for what runs it"
    )


def _smaller(training: Training) -> str:
    """What the user could set."""
    ways = ["method qlora"] if training.bits >= 16 else []
    ways += [f"per_device_train_batch_size below {training.batch}"] if training.batch > 1 else []
    ways += [f"max_length below {training.length}"] if training.length > 256 else []
    ways += ["attn_implementation sdpa"] if training.eager else []
    ways += [] if training.checkpointing else ["gradient_checkpointing"]
    return f" It takes less with {', or '.join(ways)}." if ways else ""
